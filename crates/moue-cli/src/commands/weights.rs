//! `moue export`, `moue import`, `moue info`.

use moue::base::device::Device;
use moue::base::expression::Expression;
use moue::base::file::FileSystem;
use moue::nn::module::{Kind, for_each};
use moue::run::exchange::Precision;
use moue::run::model::Model;

use super::default_model;
use crate::args::{Export, Import, Info};
use crate::terminal::{note, print_line};

pub(crate) fn export(arguments: &Export, quiet: bool) -> anyhow::Result<()> {
    let mut model = Model::open(&arguments.model, arguments.weights.map(Into::into), &cpu()?)?;
    model.card.strength = arguments.strength.unwrap_or(model.card.strength);
    let precision = if arguments.half { Precision::Half } else { Precision::Full };
    model.write(&arguments.out, precision, &FileSystem)?;
    note(quiet, &format!("model: {}", arguments.out.display()));
    Ok(())
}

pub(crate) fn import(arguments: &Import, quiet: bool) -> anyhow::Result<()> {
    let mut model = Model::import(&arguments.checkpoint, arguments.image_size, arguments.target, &cpu()?)?;
    model.write(&arguments.out, Precision::Full, &FileSystem)?;
    let name = model.card.method.name();
    note(quiet, &format!("{name} at {} px: {}", arguments.image_size, arguments.out.display()));
    Ok(())
}

pub(crate) fn info(arguments: &Info) -> anyhow::Result<()> {
    let mut model = match &arguments.model {
        Some(path) => Model::open(path, arguments.weights.map(Into::into), &cpu()?)?,
        None => default_model(&cpu()?)?,
    };
    let mut tensors = Vec::new();
    let mut parameters = 0;
    for_each(&mut *model.translator, |name, kind, tensor| {
        let shape = tensor.shape();
        if kind == Kind::Parameter {
            parameters += shape.iter().product::<usize>();
        }
        tensors.push((name.to_string(), shape));
    });
    let card = &model.card;
    if arguments.json {
        let tensors: serde_json::Map<_, _> =
            tensors.into_iter().map(|(name, shape)| (name, shape.into())).collect();
        let object = serde_json::json!({ "card": card, "parameters": parameters, "tensors": tensors });
        return print_line(&object.to_string()).map_err(Into::into);
    }
    let data = if card.data.is_empty() { "unknown data" } else { &card.data };
    let updates: Vec<_> = card.updates.iter().map(|(name, count)| format!("{name} {count}")).collect();
    print_line(&format!("method      {} at {} px", card.method.name(), card.method.image_size()))?;
    let gives: Vec<_> = model.targets().into_iter().map(Expression::name).collect();
    if gives.len() < Expression::COUNT || !card.targets.is_empty() {
        print_line(&format!("gives       {}", gives.join(", ")))?;
    }
    print_line(&format!("weights     {}", format!("{:?}", card.weights).to_lowercase()))?;
    print_line(&format!("trained on  {data}, {} batches; updates: {}", card.iteration, updates.join(", ")))?;
    print_line(&format!("strength    {}", card.strength))?;
    let networks = if card.targets.is_empty() { "generator" } else { "generators" };
    print_line(&format!("parameters  {parameters} in the {networks}"))?;
    for (name, shape) in tensors {
        let shape: Vec<_> = shape.iter().map(usize::to_string).collect();
        print_line(&format!("  {name:32} {}", shape.join(" x ")))?;
    }
    Ok(())
}

fn cpu() -> anyhow::Result<Device> {
    Ok(moue::base::device::device("cpu")?)
}
