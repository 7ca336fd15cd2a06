//! A network as its named tensors.
//!
//! A network is a plain struct whose tensors are visited under the names of its reference implementation's
//! PyTorch state dict, so checkpoints, imports, optimisers and tests all speak of `res.0.main.1.weight`.
//! The tensors of a stored network track no gradients: a player trains a [`tracked`] copy and everybody else sees
//! constants, so no gradient is computed that nobody asked for.

use burn::tensor::{Gradients, Tensor, TensorData};

/// Whether a tensor is learned or only kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Learned by gradient.
    Parameter,
    /// Saved with the network, but not learned by gradient (the u and v of spectral norm).
    Buffer,
}

/// A tensor whatever its rank.
pub trait AnyTensor {
    /// Its shape.
    fn shape(&self) -> Vec<usize>;
    /// Its values, copied to the host, with its shape.
    fn data(&self) -> TensorData;
    /// Takes the values of `data`, which has this tensor's shape and holds f32, on this tensor's device.
    fn set(&mut self, data: TensorData);
    /// The values in a row. Shares memory with this tensor.
    fn flat(&self) -> Tensor<1>;
    /// Moves the values out in a row, so that nobody else holds them; [`AnyTensor::put`] brings them back.
    fn take(&mut self) -> Tensor<1>;
    /// Gives this tensor, whose shape was `shape`, its values back.
    fn put(&mut self, flat: Tensor<1>, shape: &[usize]);
    /// Makes it a leaf of the autodiff graph.
    fn track(&mut self);
    /// Takes its gradient, in a row, out of `gradients`.
    fn gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>>;
}

impl<const D: usize> AnyTensor for Tensor<D> {
    fn shape(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn data(&self) -> TensorData {
        self.to_data().convert::<f32>()
    }

    fn set(&mut self, data: TensorData) {
        *self = Tensor::from_data(data, &self.device().without_autodiff());
    }

    fn flat(&self) -> Tensor<1> {
        let length = self.shape().num_elements();
        self.clone().reshape([length])
    }

    fn take(&mut self) -> Tensor<1> {
        let length = self.shape().num_elements();
        let empty = Tensor::from_data(TensorData::new(Vec::<f32>::new(), [0; D]), &self.device());
        std::mem::replace(self, empty).reshape([length])
    }

    fn put(&mut self, flat: Tensor<1>, shape: &[usize]) {
        let shape: [usize; D] = shape.try_into().expect("a tensor is put back with the shape it had");
        *self = flat.reshape(shape);
    }

    fn track(&mut self) {
        *self = self.clone().autodiff().require_grad();
    }

    fn gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>> {
        let gradient = self.grad_remove(gradients)?;
        let length = gradient.shape().num_elements();
        Some(gradient.reshape([length]))
    }
}

/// Something made of named tensors.
pub trait Module {
    /// Shows every tensor to the visitor, always in the same order.
    fn visit(&mut self, visitor: &mut Visitor<'_>);
}

/// Walks through a network and shows each tensor under its dotted name.
pub struct Visitor<'a> {
    path: String,
    each: &'a mut dyn FnMut(&str, Kind, &mut dyn AnyTensor),
}

impl Visitor<'_> {
    /// Visits a part of the network whose names begin with `name.`.
    pub fn module(&mut self, name: &str, module: &mut dyn Module) {
        let length = self.path.len();
        self.path.push_str(name);
        self.path.push('.');
        module.visit(self);
        self.path.truncate(length);
    }

    /// Shows a learned tensor.
    pub fn parameter(&mut self, name: &str, tensor: &mut dyn AnyTensor) {
        self.show(name, Kind::Parameter, tensor);
    }

    /// Shows a tensor that is saved but not learned.
    pub fn buffer(&mut self, name: &str, tensor: &mut dyn AnyTensor) {
        self.show(name, Kind::Buffer, tensor);
    }

    fn show(&mut self, name: &str, kind: Kind, tensor: &mut dyn AnyTensor) {
        (self.each)(&format!("{}{name}", self.path), kind, tensor);
    }
}

/// Calls `each` with the name and kind of every tensor of the module.
pub fn for_each(module: &mut dyn Module, mut each: impl FnMut(&str, Kind, &mut dyn AnyTensor)) {
    module.visit(&mut Visitor { path: String::new(), each: &mut each });
}

/// A copy of the network whose parameters are leaves of the autodiff graph. It shares the weights' memory.
pub fn tracked<M: Module + Clone>(network: &M) -> M {
    let mut copy = network.clone();
    for_each(&mut copy, |_, kind, tensor| {
        if kind == Kind::Parameter {
            tensor.track();
        }
    });
    copy
}

/// Moves the parameters out of the network, a row each, in the order of [`Module::visit`], and says which shapes they had.
/// So an operation can write in their place; until [`put_parameters`] the network has none.
pub fn take_parameters(network: &mut dyn Module) -> (Vec<Tensor<1>>, Vec<Vec<usize>>) {
    let (mut parameters, mut shapes) = (Vec::new(), Vec::new());
    for_each(network, |_, kind, tensor| {
        if kind == Kind::Parameter {
            shapes.push(tensor.shape());
            parameters.push(tensor.take());
        }
    });
    (parameters, shapes)
}

/// Puts parameters back that [`take_parameters`] moved out.
///
/// # Panics
/// When there are others than were moved out.
pub fn put_parameters(network: &mut dyn Module, parameters: Vec<Tensor<1>>, shapes: Vec<Vec<usize>>) {
    let mut each = parameters.into_iter().zip(shapes);
    for_each(network, |name, kind, tensor| {
        if kind == Kind::Parameter {
            let (parameter, shape) = each.next().unwrap_or_else(|| panic!("{name} was moved out"));
            tensor.put(parameter, &shape);
        }
    });
    assert!(each.next().is_none(), "all parameters are put back");
}

/// Number of learned values.
pub fn parameter_count<M: Module + Clone>(network: &M) -> usize {
    let mut count = 0;
    for_each(&mut network.clone(), |_, kind, tensor| {
        if kind == Kind::Parameter {
            count += tensor.shape().iter().product::<usize>();
        }
    });
    count
}

/// The gradients of a tracked network, in a row each, in the order of [`Module::visit`].
///
/// # Panics
/// When a parameter got none: the loss does not depend on it, so the game is wired wrongly.
pub fn gradients<M: Module>(tracked: &mut M, gradients: &mut Gradients) -> Vec<Tensor<1>> {
    let mut all = Vec::new();
    for_each(tracked, |name, kind, tensor| {
        if kind == Kind::Parameter {
            let gradient = tensor.gradient(gradients);
            all.push(gradient.unwrap_or_else(|| panic!("no gradient reached {name}")));
        }
    });
    all
}
