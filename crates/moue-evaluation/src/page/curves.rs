//! Training curves, from the runs' own logs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use moue::base::error::{Error, Result};
use moue::run::events::Event;

use super::figures::escaped;

/// What a run's log tells of its training.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// The model's name in tables; the runs of a set share it.
    pub name: String,
    /// Of each quantity batches seen and value.
    pub values: BTreeMap<String, Vec<[f64; 2]>>,
    /// Seconds that it was trained.
    pub seconds: f64,
    /// Faces trained on a second, the median of the log's lines.
    pub images_per_second: Option<f64>,
}

/// Reads the logs of those runs, by their model's name and path, that have one.
///
/// # Errors
/// [`Error::Read`] for a log that is there and cannot be read.
pub fn curves<'a>(models: impl Iterator<Item = (&'a str, &'a Path)>) -> Result<Vec<Curves>> {
    let logs = models.map(|(name, path)| (name, path.join("events.jsonl"))).filter(|(_, log)| log.is_file());
    logs.map(|(name, log)| {
        let text = fs::read_to_string(&log).map_err(Error::read(&log))?;
        Ok(of_log(name, &text))
    })
    .collect()
}

fn of_log(name: &str, text: &str) -> Curves {
    let mut curves = Curves { name: name.to_string(), ..Curves::default() };
    let mut speeds = Vec::new();
    for event in text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
        match event {
            Event::Step { iteration, values, images_per_second, .. } => {
                for (quantity, value) in values {
                    curves.values.entry(quantity).or_default().push([iteration as f64, f64::from(value)]);
                }
                speeds.push(images_per_second);
            }
            Event::Ended { seconds, .. } => curves.seconds += seconds,
            _ => {}
        }
    }
    speeds.sort_unstable_by(f64::total_cmp);
    curves.images_per_second = speeds.get(speeds.len() / 2).copied();
    curves
}

/// Colours that people who see colours otherwise tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// The models of some runs, in order, each with the colour of its lines.
pub(super) fn models(curves: &[Curves]) -> Vec<(&str, &'static str)> {
    let mut models: Vec<(&str, &'static str)> = Vec::new();
    for run in curves {
        if !models.iter().any(|(name, _)| *name == run.name) {
            models.push((&run.name, COLOURS[models.len() % COLOURS.len()]));
        }
    }
    models
}

/// Every quantity that some run logged, in order.
pub(super) fn quantities(curves: &[Curves]) -> Vec<String> {
    let mut all: Vec<String> = curves.iter().flat_map(|run| run.values.keys().cloned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A chart of one quantity: a line a run, smoothed, in its model's colour.
pub(super) fn chart(curves: &[Curves], quantity: &str) -> String {
    const SIZE: [f64; 2] = [380.0, 220.0];
    const FRAME: [f64; 4] = [52.0, 12.0, 24.0, 26.0]; // left, right, top, bottom
    let colours = models(curves);
    let colour = |run: &Curves| colours.iter().find(|(name, _)| *name == run.name).map(|(_, colour)| *colour);
    let lines: Vec<(&str, Vec<[f64; 2]>)> = curves
        .iter()
        .filter_map(|run| Some((colour(run)?, smoothed(run.values.get(quantity)?))))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let range = |axis: usize| {
        let values = lines.iter().flat_map(|(_, line)| line.iter().map(move |point| point[axis]));
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::MAX, f64::MIN), |(l, h), value| (l.min(value), h.max(value)));
        if high > low { (low, high) } else { (low.min(high) - 0.5, low.max(high) + 0.5) }
    };
    let (x_range, y_range) = ((0.0, range(0).1), range(1));
    let x = |value: f64| {
        FRAME[0] + (value - x_range.0) / (x_range.1 - x_range.0) * (SIZE[0] - FRAME[0] - FRAME[1])
    };
    let y = |value: f64| {
        SIZE[1] - FRAME[3] - (value - y_range.0) / (y_range.1 - y_range.0) * (SIZE[1] - FRAME[2] - FRAME[3])
    };
    let [width, height] = SIZE;
    let title = escaped(&quantity.replace(['.', '_'], " "));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title} by batch\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"15\" font-size=\"12\">{title}</text>\n",
        FRAME[0]
    );
    let mut add = |text: String| writeln!(svg, "{text}").expect("a string takes everything");
    for tick in ticks(y_range) {
        let at = y(tick);
        add(format!(
            "<line x1=\"{}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>",
            FRAME[0],
            width - FRAME[1]
        ));
        add(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            FRAME[0] - 4.0,
            at + 4.0,
            short(tick)
        ));
    }
    for tick in ticks(x_range) {
        add(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(tick),
            height - 9.0,
            short(tick)
        ));
    }
    for (colour, line) in &lines {
        let points: Vec<String> =
            line.iter().map(|[at, value]| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let points = points.join(" ");
        add(format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{points}\"/>"
        ));
    }
    svg + "</svg>\n"
}

/// Means of neighbours, so that a line has at most about a hundred points.
fn smoothed(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let finite: Vec<[f64; 2]> = points.iter().copied().filter(|point| point[1].is_finite()).collect();
    let together = finite.len().div_ceil(100).max(1);
    let mean = |points: &[[f64; 2]]| {
        [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64)
    };
    finite.chunks(together).map(mean).collect()
}

/// Round numbers within a range, about four of them.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

/// A tick's number without more digits than it needs.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_of_a_set_have_one_colour() {
        let run = |name: &str| Curves { name: name.into(), ..Curves::default() };
        let curves = ["pairs", "pairs", "other"].map(run);
        assert_eq!(models(&curves), [("pairs", COLOURS[0]), ("other", COLOURS[1])]);
    }

    #[test]
    fn a_log_gives_curves_and_costs() {
        let log = r#"{"event":"step","iteration":20,"updates":[["generator",20]],"values":[["generator.pixels",0.5]],"rate_factor":1.0,"images_per_second":6.0}
{"event":"step","iteration":40,"updates":[["generator",40]],"values":[["generator.pixels",0.25]],"rate_factor":1.0,"images_per_second":8.0}
{"event":"ended","iteration":40,"complete":true,"seconds":12.5}
{"event":"of a later version"}"#;
        let curves = of_log("run", log);
        assert_eq!(curves.values["generator.pixels"], [[20.0, 0.5], [40.0, 0.25]]);
        assert_eq!((curves.seconds, curves.images_per_second), (12.5, Some(8.0)));
        assert_eq!(quantities(std::slice::from_ref(&curves)), ["generator.pixels"]);
        let svg = chart(&[curves.clone(), Curves::default()], "generator.pixels");
        assert_eq!(svg, chart(&[curves, Curves::default()], "generator.pixels"));
        assert!(svg.contains("generator pixels") && svg.matches("<polyline").count() == 1, "{svg}");
    }

    #[test]
    fn ticks_are_round_and_lines_short() {
        assert_eq!(ticks((0.0, 10.0)), [0.0, 5.0, 10.0]);
        let between: Vec<String> = ticks((0.13, 0.52)).into_iter().map(short).collect();
        assert_eq!(between, ["0.2", "0.3", "0.4", "0.5"]);
        assert_eq!([short(2000.0), short(0.25), short(-0.0)], ["2000", "0.25", "0"]);
        let small: Vec<String> = ticks((0.00003, 0.00016)).into_iter().map(short).collect();
        assert_eq!(small, ["5e-5", "1e-4", "1.5e-4"]);
        let points: Vec<[f64; 2]> =
            (0..1000).map(|n| [f64::from(n), if n == 5 { f64::NAN } else { 1.0 }]).collect();
        let smooth = smoothed(&points);
        assert!(smooth.len() <= 100 && smooth.iter().all(|point| point[1] == 1.0));
    }
}
