//! A comparison as one page that needs nothing beside it, with its figures and numbers as files.

mod curves;
mod figures;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use moue::base::device::device;
use moue::base::error::Result;
use moue::base::expression::Expression;
use moue::base::file::{Disk, create_folder, write_whole};
use moue::base::image::write_png;
use moue::photo::landmarks::Landmarks;

pub use self::curves::{Curves, curves};
use self::curves::{chart, models, quantities};
use self::figures::{Figure, data_url, figure_3, figure_4};
use crate::evaluate::Portrait;
use crate::networks::CLASSES;
use crate::scores::{Evaluation, Metric, Of, Row, Score, Scores};
use crate::table::verdicts;

/// What is shown by expression.
const DETAILED: [Metric; 4] = [Metric::Fid, Metric::Kid, Metric::FaceApi, Metric::Identity];

/// The paper's table 1: FID on RaFD, by expression from angry to surprised.
const PAPER: [(&str, [f64; 8]); 3] = [
    ("pix2pix", [63.2205, 62.4421, 69.7962, 63.2436, 72.1729, 57.9814, 59.0823, 71.9813]),
    ("StarGAN", [56.8020, 56.1486, 53.0531, 53.7485, 49.9854, 50.8677, 57.8429, 70.2675]),
    ("proposed (sasn)", [56.4288, 55.5807, 56.6749, 53.7482, 49.7324, 48.8630, 53.8873, 69.7477]),
];

const STYLE: &str = include_str!("style.css");

/// Writes `index.html`, `figure-3` and `figure-4` as PNG and SVG, a `curves-….svg` for each quantity, and
/// `evaluation.json` into a folder.
///
/// # Errors
/// [`moue::base::error::Error::Write`].
pub fn write(
    evaluation: &Evaluation,
    portraits: &[Portrait],
    curves: &[Curves],
    folder: &Path,
    disk: &dyn Disk,
) -> Result<()> {
    create_folder(folder)?;
    let text = |name: &str, text: &str| {
        write_whole(disk, &folder.join(name), |output| output.write_all(text.as_bytes()))
    };
    let methods: Vec<String> = evaluation.models().map(|(row, _)| row.name.clone()).collect();
    let landmarks = Landmarks::new(&device("cpu")?);
    let figures = [
        ("figure-3", figure_3(portraits, &methods)),
        ("figure-4", figure_4(portraits, &methods, &landmarks)),
    ];
    for (name, figure) in &figures {
        write_png(disk, &folder.join(format!("{name}.png")), &figure.picture())?;
        text(&format!("{name}.svg"), &figure.drawing())?;
    }
    let mut charts = Vec::new();
    for quantity in quantities(curves) {
        let chart = chart(curves, &quantity);
        text(&format!("curves-{quantity}.svg"), &chart)?;
        charts.push(chart);
    }
    let json = serde_json::to_string_pretty(evaluation).expect("an evaluation is representable in JSON");
    text("evaluation.json", &json)?;
    let [(_, third), (_, fourth)] = &figures;
    text("index.html", &page(evaluation, third, fourth, curves, &charts).into_string())
}

fn page(
    evaluation: &Evaluation,
    third: &Figure,
    fourth: &Figure,
    curves: &[Curves],
    charts: &[String],
) -> Markup {
    let names: Vec<&str> = evaluation.models().map(|(row, _)| row.name.as_str()).collect();
    let title = format!("{} on {}", names.join(", "), evaluation.data);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p { (evaluation.description) " Everything at " (evaluation.image_size) " pixels." }
                @for note in &evaluation.notes { p { strong { (note) } } }
                h2 { "In words" }
                ul { @for line in summary(evaluation) { li { (line) } } }
                (victories(evaluation))
                h2 { "Over all expressions" }
                (overall(evaluation))
                p.small {
                    "Below each number its 95 % interval over " (evaluation.draws) " draws of people, the same for all \
                     rows. The row real is what real images of other people score at this number, for figures of \
                     pairs the person's own true images; the row copy is what the unchanged sources score."
                }
                h2 { "By expression" }
                @for metric in DETAILED { (by_expression(evaluation, metric)) }
                (paper())
                h2 { "What the classifiers read" }
                div.row { @for row in &evaluation.rows { (confusion(row)) } }
                h2 { "Faces, methods, expressions" }
                img.wide src=(data_url(&third.picture())) alt="A grid of faces: rows are methods, columns expressions";
                h2 { "Eyes and mouths, magnified" }
                img.wide src=(data_url(&fourth.picture())) alt="Eyes and mouths: rows are expressions, columns methods";
                @if !charts.is_empty() {
                    h2 { "Training" }
                    p.legend {
                        @for (name, colour) in models(curves) {
                            span { span.line style={"background:" (colour)} {} (name) }
                        }
                    }
                    div.row { @for chart in charts { figure { (PreEscaped(chart)) } } }
                    p.small {
                        "By batch; each point is the mean of some neighbouring lines of the log. A set has a line a network."
                    }
                }
                h2 { "Costs" }
                (costs(evaluation, curves))
                h2 { "What the numbers say" }
                dl {
                    @for metric in evaluation.metrics() { dt { (metric.name()) } dd { (metric.about()) "." } }
                }
            }
        }
    }
}

/// What the numbers say, in sentences.
fn summary(evaluation: &Evaluation) -> Vec<String> {
    let mut lines = verdicts(evaluation);
    let of = |name: &str, metric: Metric| {
        let row = evaluation.rows.iter().find(|row| row.name == name)?;
        row.overall.get(&metric).map(|score| score.value)
    };
    for (row, _) in evaluation.models() {
        let read = |metric: Metric| row.overall.get(&metric).map(|score| score.value);
        if let (Some(ours), Some(real), Some(copy)) =
            (read(Metric::FaceApi), of("real", Metric::FaceApi), of("copy", Metric::FaceApi))
        {
            let caution = match evaluation.is_read_as_copy(row) {
                true => ", no more: it hardly changes them, which its KID, identity and LPIPS reward",
                false => "",
            };
            lines.push(format!(
                "Of {}'s results face-api reads {:.0} % as the target; of true images {:.0} %, of the unchanged sources \
                 {:.0} %{caution}.",
                row.name,
                100.0 * ours,
                100.0 * real,
                100.0 * copy
            ));
        }
        if let (Some(ours), Some(real)) = (read(Metric::Identity), of("real", Metric::Identity)) {
            let than = match ours <= real {
                true => "no farther from the source than",
                false => "farther from the source than",
            };
            lines.push(format!(
                "In identity {}'s results are {than} the person's true images: {ours:.3} against {real:.3}.",
                row.name
            ));
        }
    }
    if lines.is_empty() {
        lines.push(
            "Nothing can be told: no model, or none of the networks that judge, was there.".to_string(),
        );
    }
    lines
}

/// A number with its interval below it.
fn cell(metric: Metric, score: Option<&Score>) -> Markup {
    let digits = metric.digits();
    html! {
        @match score {
            None => td { "–" },
            Some(score) => td {
                (format!("{:.digits$}", score.value))
                @if let Some(error) = score.error { (format!(" ± {error:.digits$}")) }
                @if let Some([low, high]) = score.interval { small { (format!("{low:.digits$} to {high:.digits$}")) } }
            },
        }
    }
}

/// At how many expressions each model is better than each other one.
fn victories(evaluation: &Evaluation) -> Markup {
    let names: Vec<&str> = evaluation.models().map(|(row, _)| row.name.as_str()).collect();
    let expressions = evaluation.expressions().len();
    html! {
        @if names.len() > 2 && !evaluation.differences.is_empty() {
            div.scroll { table.heat {
                caption {
                    "At how many of the " (expressions) " expressions the row's model is better than the column's by \
                     KID; bold where it is so of all together as well"
                }
                thead { tr { th scope="col" { "" } @for name in &names { th scope="col" { (name) } } } }
                tbody { @for model in &names { tr {
                    th scope="row" { (model) }
                    @for other in &names {
                        @let won = evaluation.better_at(model, other);
                        @let count = won.iter().flatten().count();
                        @let share = count as f64 / expressions.max(1) as f64;
                        @if model == other { td { "–" } } @else {
                            td style={"--share:" (format!("{share:.2}"))} {
                                @if won.contains(&None) { strong { (count) } } @else { (count) }
                            }
                        }
                    }
                } } }
            } }
        }
    }
}

fn overall(evaluation: &Evaluation) -> Markup {
    html! {
        @for (group, metrics) in evaluation.groups() { div.scroll { table {
            caption { (group.name()) }
            thead { tr { th scope="col" { "" } @for metric in &metrics { th scope="col" { (metric.name()) } } } }
            tbody { @for row in &evaluation.rows {
                tr class=[(!matches!(row.of, Of::Model(_))).then_some("reference")] {
                    th scope="row" { (row.name) }
                    @for metric in &metrics { (cell(*metric, row.overall.get(metric))) }
                }
            } }
        } } }
    }
}

fn by_expression(evaluation: &Evaluation, metric: Metric) -> Markup {
    let score =
        |row: &Row, expression| row.scores(Some(expression)).and_then(|s: &Scores| s.get(&metric)).copied();
    let expressions = evaluation.expressions();
    let is_measured = evaluation.rows.iter().any(|row| expressions.iter().any(|e| score(row, *e).is_some()));
    html! {
        @if is_measured {
            div.scroll { table {
                caption { (metric.name()) }
                (heads(&expressions))
                tbody { @for row in &evaluation.rows {
                    tr class=[(!matches!(row.of, Of::Model(_))).then_some("reference")] {
                        th scope="row" { (row.name) }
                        @for expression in &expressions { (cell(metric, score(row, *expression).as_ref())) }
                    }
                } }
            } }
        }
    }
}

fn heads(expressions: &[Expression]) -> Markup {
    html! {
        thead { tr { th scope="col" { "" } @for expression in expressions { th scope="col" { (expression.name()) } } } }
    }
}

fn paper() -> Markup {
    html! {
        div.scroll { table {
            caption { "For comparison of shapes, not of heights: FID in the paper's table 1, on RaFD" }
            (heads(&Expression::ALL))
            tbody { @for (name, values) in PAPER {
                tr.reference { th scope="row" { (name) } @for value in values { td { (format!("{value:.2}")) } } }
            } }
        } }
        p.small {
            "The paper's numbers (Su, Wang, Liu 2022) are of other images, RaFD's, in other numbers, and of models that were \
             trained on them: they cannot be held against those above."
        }
    }
}

/// How often each target was read as each class, in percent, the darker the oftener.
fn confusion(row: &Row) -> Markup {
    html! {
        @for (classifier, counts) in &row.confusion {
            table.heat {
                caption { (row.name) ", by " (classifier) }
                thead { tr { th scope="col" { "" } @for class in CLASSES { th scope="col" { (&class.name()[..3]) } } } }
                tbody { @for (target, counts) in Expression::ALL.iter().zip(counts) {
                    @let sum: u64 = counts.iter().sum();
                    @if sum > 0 { tr {
                        th scope="row" { (target.name()) }
                        @for count in counts {
                            @let share = *count as f64 / sum as f64;
                            td style={"--share:" (format!("{share:.2}"))} { (format!("{:.0}", 100.0 * share)) }
                        }
                    } }
                } }
            }
        }
    }
}

fn costs(evaluation: &Evaluation, curves: &[Curves]) -> Markup {
    let number =
        |value: Option<f64>, digits: usize| value.map_or("–".to_string(), |v| format!("{v:.digits$}"));
    html! {
        div.scroll { table {
            thead { tr {
                @for head in ["", "method", "pixels", "parameters", "batches", "updates", "weights", "strength", "trained, h",
                    "faces/s in training", "results/s"] { th scope="col" { (head) } }
            } }
            tbody { @for (row, facts) in evaluation.models() {
                @let runs = curves.iter().filter(|run| run.name == row.name).collect::<Vec<_>>();
                @let seconds = runs.iter().map(|run| run.seconds).sum::<f64>();
                @let speed = runs.iter().filter_map(|run| run.images_per_second).max_by(f64::total_cmp);
                @let updates = facts.updates.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>();
                tr {
                    th scope="row" { (row.name) }
                    td { (facts.method) } td { (facts.image_size) } td { (facts.parameters) } td { (facts.iteration) }
                    td { (updates.join(", ")) }
                    td { (if facts.averaged { "average" } else { "raw" }) } td { (facts.strength) }
                    td { (number((!runs.is_empty()).then_some(seconds / 3600.0), 2)) }
                    td { (number(speed, 1)) }
                    td { (number(Some(facts.images_per_second), 1)) }
                }
            } }
        } }
        p.small { "Parameters are the generator's. Of a set parameters and time are all networks', updates those of the one \
                         with the fewest, faces/s those of the fastest. A dash: it was not trained here." }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use image::{Rgb, RgbImage};
    use moue::base::file::FileSystem;

    use super::*;
    use crate::protocol::Protocol;
    use crate::scores::{Difference, Facts};

    const ODD: &str = "a<b>&\"c\"";

    fn evaluation() -> Evaluation {
        let score = Score { value: 0.5, interval: Some([0.4, 0.625]), error: None, count: 9 };
        let scores = BTreeMap::from([(Metric::FaceApi, score), (Metric::Identity, score)]);
        let row = |name: &str, of| Row {
            name: name.into(),
            of,
            expressions: BTreeMap::from([(Expression::Happy, scores.clone())]),
            overall: scores.clone(),
            confusion: BTreeMap::from([("fer".to_string(), vec![vec![1, 0, 0, 3, 0, 0, 0]; 8])]),
        };
        let rows = [ODD.to_string(), "second".to_string()];
        Evaluation {
            format: 1,
            data: "made <up>".into(),
            protocol: Protocol::Test,
            description: "Judged on few.".into(),
            image_size: 64,
            draws: 200,
            notes: vec!["Left out: FID.".into()],
            rows: vec![
                row("real", Of::Real),
                row("copy", Of::Copy),
                row(ODD, Of::Model(Facts::default())),
                row("second", Of::Model(Facts { iteration: 7, ..Facts::default() })),
            ],
            differences: vec![Difference { rows, expression: None, value: 1.0, interval: [0.5, 1.5] }],
        }
    }

    fn portrait() -> Portrait {
        let image = |value: u8| RgbImage::from_pixel(64, 64, Rgb([value, 0, 0]));
        let results = || Expression::ALL.into_iter().map(|e| (e, image(10 * e.index() as u8))).collect();
        Portrait {
            name: ODD.into(),
            source: image(200),
            shown: Expression::Neutral,
            truths: BTreeMap::from([(Expression::Happy, image(90))]),
            results: vec![results(), results()],
        }
    }

    /// Whether every tag that is opened is closed, in order.
    fn is_balanced(html: &str) -> bool {
        const VOID: [&str; 4] = ["meta", "img", "br", "link"];
        let mut open: Vec<&str> = Vec::new();
        for tag in html.split('<').skip(1) {
            let Some((tag, _)) = tag.split_once('>') else { return false };
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            match (tag.starts_with('/'), tag.ends_with('/') || tag.starts_with('!') || VOID.contains(&name)) {
                (true, _) if open.pop() != Some(name) => return false,
                (false, false) => open.push(name),
                _ => {}
            }
        }
        open.is_empty()
    }

    #[test]
    fn a_page_is_whole_escapes_names_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let curves = Curves {
            name: ODD.into(),
            values: BTreeMap::from([("generator.pixels".to_string(), vec![[1.0, 2.0], [2.0, 1.0]])]),
            ..Curves::default()
        };
        let make = |name: &str| {
            let place = folder.path().join(name);
            write(&evaluation(), &[portrait()], std::slice::from_ref(&curves), &place, &FileSystem).unwrap();
            std::fs::read_to_string(place.join("index.html")).unwrap()
        };
        let page = make("a");
        assert_eq!(page, make("b"));
        assert!(is_balanced(&page));
        assert!(!page.contains("<b>") && page.contains("a&lt;b&gt;&amp;"));
        for part in [
            "Judged on few.",
            "0.400 to 0.625",
            "By KID second is better than",
            "56.67",
            "it hardly changes them",
            "Left out: FID.",
        ] {
            assert!(page.contains(part), "{part}");
        }
        let names = ["curves-generator.pixels.svg", "evaluation.json", "figure-3.svg", "figure-4.svg"];
        assert!(names.iter().all(|name| folder.path().join("a").join(name).is_file()));
        let json = std::fs::read(folder.path().join("a/evaluation.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Evaluation>(&json).unwrap(), evaluation());
        let picture = image::open(folder.path().join("a/figure-3.png")).unwrap();
        // Three rows of 128 px with gaps below the heads, nine columns beside the labels.
        assert_eq!(picture.height(), 27 + 3 * 134);
        assert!(picture.width() > 9 * 134 && picture.width() < 9 * 134 + 200);
    }

    #[test]
    fn nothing_measured_is_said_to_be_nothing() {
        let nothing = Evaluation { rows: vec![], differences: vec![], ..evaluation() };
        assert!(summary(&nothing)[0].contains("Nothing can be told"));
        let folder = tempfile::tempdir().unwrap();
        write(&nothing, &[], &[], folder.path(), &FileSystem).unwrap();
        assert!(is_balanced(&std::fs::read_to_string(folder.path().join("index.html")).unwrap()));
    }
}
