//! Evaluations as tables: for terminals, Markdown, CSV, LaTeX.

use std::fmt::Write;
use std::ops::Range;

use moue::base::expression::Expression;

use crate::scores::{Evaluation, Group, Metric, Row, Score};

/// What a table is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns, in lines of at most so many characters where that is possible.
    Terminal(usize),
    /// GitHub's Markdown.
    Markdown,
    /// A line for each row, expression and metric.
    Csv,
    /// A `tabular` with booktabs' lines.
    Latex,
}

/// Columns of text under their heads.
struct Table {
    caption: String,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// The whole evaluation: over all expressions, then a table for each of `detailed` by expression, the protocol and what
/// the metrics say.
pub fn write(evaluation: &Evaluation, detailed: &[Metric], format: Format) -> String {
    if format == Format::Csv {
        return csv(evaluation);
    }
    let mut tables = overall(evaluation);
    let metrics = evaluation.metrics();
    tables.extend(
        detailed.iter().filter(|m| metrics.contains(m)).map(|&metric| by_expression(evaluation, metric)),
    );
    let mut text = tables.iter().map(|table| table.write(format)).collect::<Vec<_>>().join("\n");
    let foot = foot(evaluation);
    match format {
        Format::Latex => foot.iter().for_each(|line| text.push_str(&format!("% {line}\n"))),
        Format::Terminal(columns) => {
            let foot = foot.iter().map(|line| textwrap::fill(line, columns)).collect::<Vec<_>>();
            text.push_str(&format!("\n{}\n", foot.join("\n")));
        }
        _ => text.push_str(&format!("\n{}\n", foot.join("\n"))),
    }
    text
}

/// A row a model, a column a metric, over all expressions; a table for each group of metrics.
fn overall(evaluation: &Evaluation) -> Vec<Table> {
    let table = |(group, metrics): (Group, Vec<Metric>)| {
        let names = metrics.iter().map(|metric| metric.name().to_string());
        let row = |row: &Row| {
            let cells = metrics.iter().map(|&metric| cell(metric, row.overall.get(&metric)));
            std::iter::once(row.name.clone()).chain(cells).collect()
        };
        let (data, side) = (&evaluation.data, evaluation.image_size);
        Table {
            caption: format!("All expressions ({data}, {side} px): {}", group.name()),
            heads: std::iter::once(String::new()).chain(names).collect(),
            rows: evaluation.rows.iter().map(row).collect(),
        }
    };
    evaluation.groups().into_iter().map(table).collect()
}

/// A row a model, a column an expression, one metric.
fn by_expression(evaluation: &Evaluation, metric: Metric) -> Table {
    let expressions = evaluation.expressions();
    let names = expressions.iter().map(|expression| expression.name().to_string());
    let row = |row: &Row| {
        let cells = expressions.iter().map(|expression| {
            cell(metric, row.scores(Some(*expression)).and_then(|scores| scores.get(&metric)))
        });
        std::iter::once(row.name.clone()).chain(cells).collect()
    };
    Table {
        caption: format!("{} by expression", metric.name()),
        heads: std::iter::once(String::new()).chain(names).collect(),
        rows: evaluation.rows.iter().map(row).collect(),
    }
}

/// `56.43 [51.20, 60.95]`, with a standard error `10.39 ± 3.20 [...]`; a dash where nothing was measured.
pub fn cell(metric: Metric, score: Option<&Score>) -> String {
    let Some(score) = score else { return "-".to_string() };
    let digits = metric.digits();
    let error = score.error.map_or(String::new(), |error| format!(" ± {error:.digits$}"));
    match score.interval {
        Some([low, high]) => format!("{:.digits$}{error} [{low:.digits$}, {high:.digits$}]", score.value),
        None => format!("{:.digits$}{error}", score.value),
    }
}

/// What must stand beside the numbers.
pub fn foot(evaluation: &Evaluation) -> Vec<String> {
    let mut lines = vec![
        evaluation.description.clone(),
        format!(
            "In brackets 95 % intervals over {} draws of people, the same for all; after ± standard errors over \
             images. Under real stands what real images of other people score at this number (for figures of pairs: the \
             person's own true images), under copy what the unchanged sources do.",
            evaluation.draws
        ),
    ];
    lines.extend(evaluation.metrics().iter().map(|metric| format!("{}: {}.", metric.name(), metric.about())));
    lines.extend(verdicts(evaluation));
    let copies = evaluation.models().filter(|(row, _)| evaluation.is_read_as_copy(row));
    lines.extend(copies.map(|(row, _)| {
        format!(
            "{}'s results are read as their targets no more often than the unchanged sources: it hardly changes them, \
             which FID, KID, identity and LPIPS reward.",
            row.name
        )
    }));
    lines.extend(evaluation.notes.iter().cloned());
    lines
}

/// Who is better than whom, by kernel distances whose difference is told from 0: a sentence for each model that is better
/// than some, and one for the pairs that cannot be told apart.
pub fn verdicts(evaluation: &Evaluation) -> Vec<String> {
    let names: Vec<&str> = evaluation.models().map(|(row, _)| row.name.as_str()).collect();
    let mut lines = Vec::new();
    for model in &names {
        // Those that it is better than at the same places stand together.
        let mut beaten: Vec<(String, Vec<&str>)> = Vec::new();
        for other in names.iter().filter(|other| *other != model) {
            let won = evaluation.better_at(model, other);
            let places = match won.len() {
                0 => continue,
                n if n > evaluation.expressions().len() => "at every expression and all together".to_string(),
                _ => {
                    let names = won.iter().map(|place| place.map_or("all together", Expression::name));
                    format!("at: {}", names.collect::<Vec<_>>().join(", "))
                }
            };
            match beaten.iter_mut().find(|(known, _)| *known == places) {
                Some((_, others)) => others.push(other),
                None => beaten.push((places, vec![other])),
            }
        }
        let parts: Vec<String> =
            beaten.iter().map(|(places, others)| format!("{} {places}", others.join(", "))).collect();
        if !parts.is_empty() {
            lines.push(format!("By KID {model} is better than {}.", parts.join("; than ")));
        }
    }
    let pairs =
        names.iter().enumerate().flat_map(|(at, one)| names[at + 1..].iter().map(move |two| (one, two)));
    let is_told = |one, two| !evaluation.better_at(one, two).is_empty();
    let alike = pairs.filter(|(one, two)| !is_told(one, two) && !is_told(two, one));
    let alike: Vec<String> = alike.map(|(one, two)| format!("{one} and {two}")).collect();
    if !alike.is_empty() {
        lines.push(format!("By KID {} cannot be told apart.", alike.join(", ")));
    }
    lines
}

impl Table {
    fn write(&self, format: Format) -> String {
        match format {
            Format::Terminal(columns) => self.aligned(columns),
            Format::Markdown => self.markdown(),
            Format::Latex => self.latex(),
            Format::Csv => unreachable!("CSV is written a number a line"),
        }
    }

    /// Transposed where it is too wide and fits better so, and then columns that do not fit beside the others below them.
    fn aligned(&self, columns: usize) -> String {
        let [table, transposed] = [self.lines(), self.transposed()].map(Aligned::new);
        let [blocks, fewer] = [&table, &transposed].map(|table| table.blocks(columns).len());
        let table = if fewer < blocks { transposed } else { table };
        let blocks = table.blocks(columns).into_iter().map(|block| table.write(block));
        format!("{}\n{}", self.caption, blocks.collect::<Vec<_>>().join("\n"))
    }

    /// The heads and the rows.
    fn lines(&self) -> Vec<Vec<String>> {
        std::iter::once(&self.heads).chain(&self.rows).cloned().collect()
    }

    /// The columns as lines.
    fn transposed(&self) -> Vec<Vec<String>> {
        let lines = self.lines();
        (0..self.heads.len()).map(|column| lines.iter().map(|line| line[column].clone()).collect()).collect()
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = format!("|---|{}\n", "---:|".repeat(self.heads.len() - 1));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("**{}**\n\n{}{rule}{rows}", self.caption, line(&self.heads))
    }

    fn latex(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
            format!("{} \\\\\n", cells.join(" & "))
        };
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!(
            "% {}\n\\begin{{tabular}}{{l{}}}\n\\toprule\n{}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n",
            self.caption,
            "r".repeat(self.heads.len() - 1),
            line(&self.heads)
        )
    }
}

/// Lines of cells that stand in columns, the first of which says what a line is.
struct Aligned {
    lines: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Aligned {
    /// Between two columns.
    const GAP: usize = 2;

    fn new(lines: Vec<Vec<String>>) -> Self {
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths = (0..lines[0].len()).map(|column| width(column).unwrap_or(0)).collect();
        Self { lines, widths }
    }

    /// The columns after the first, as many together as there is room for beside it, and one at least.
    fn blocks(&self, columns: usize) -> Vec<Range<usize>> {
        let (mut blocks, mut first, mut wide) = (Vec::new(), 1, self.widths[0]);
        for column in 1..self.widths.len() {
            let wider = wide + Self::GAP + self.widths[column];
            wide = if wider > columns && column > first {
                blocks.push(first..column);
                first = column;
                self.widths[0] + Self::GAP + self.widths[column]
            } else {
                wider
            };
        }
        blocks.push(first..self.widths.len());
        blocks
    }

    fn write(&self, block: Range<usize>) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let mut out = format!("{:<width$}", line[0], width = self.widths[0]);
            for column in block.clone() {
                write!(out, "{:>width$}", line[column], width = Self::GAP + self.widths[column])
                    .expect("a string takes everything");
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text whose special characters LaTeX prints.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(character);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            _ => out.push(character),
        }
    }
    out
}

/// A line for each number, with all its digits.
fn csv(evaluation: &Evaluation) -> String {
    let mut text = String::from("row,expression,metric,value,low,high,error,count\n");
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for row in &evaluation.rows {
        let name = match row.name.contains([',', '"', '\n']) {
            true => format!("\"{}\"", row.name.replace('"', "\"\"")),
            false => row.name.clone(),
        };
        let each = row.expressions.iter().map(|(expression, scores)| (expression.name(), scores));
        for (expression, scores) in each.chain([("all", &row.overall)]) {
            for (metric, score) in scores {
                let [low, high] = [0, 1].map(|end| number(score.interval.map(|interval| interval[end])));
                let (value, error, count) = (score.value, number(score.error), score.count);
                let metric = metric.name();
                writeln!(text, "{name},{expression},{metric},{value},{low},{high},{error},{count}")
                    .expect("a string takes everything");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::protocol::Protocol;
    use crate::scores::{Difference, Facts, Of};

    fn evaluation() -> Evaluation {
        let row = |name: &str, of: Of, value: f64| {
            let score = Score { value, interval: Some([value - 1.0, value + 2.0]), error: None, count: 36 };
            let scores = BTreeMap::from([(Metric::Fid, score)]);
            let expressions = BTreeMap::from([(Expression::Happy, scores.clone())]);
            Row { name: name.into(), of, expressions, overall: scores, confusion: BTreeMap::new() }
        };
        let model = |name: &str, value| row(name, Of::Model(Facts::default()), value);
        let difference = |expression, interval| Difference {
            rows: ["a_1".into(), "b, \"2\"".into()],
            expression,
            value: -3.0,
            interval,
        };
        Evaluation {
            format: 1,
            data: "faces".into(),
            protocol: Protocol::Test,
            description: "Judged on few.".into(),
            image_size: 64,
            draws: 200,
            notes: vec!["Left out: much.".into()],
            rows: vec![row("real", Of::Real, 30.0), model("a_1", 56.428), model("b, \"2\"", 60.0)],
            differences: vec![
                difference(Some(Expression::Happy), [-5.0, -1.0]),
                difference(None, [-4.0, 1.0]),
            ],
        }
    }

    #[test]
    fn columns_of_a_terminal_s_table_are_aligned() {
        let text = write(&evaluation(), &[Metric::Fid, Metric::Kid], Format::Terminal(usize::MAX));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "All expressions (faces, 64 px): sets of results against real images");
        let end = lines[1].len();
        assert!(lines[1].ends_with("FID") && lines[2..5].iter().all(|line| line.len() == end), "{text}");
        assert!(text.contains("a_1     56.43 [55.43, 58.43]"));
        assert!(text.contains("FID by expression") && !text.contains("KID x1000 by expression"));
        assert!(text.contains("By KID a_1 is better than b, \"2\" at: happy."));
        assert!(text.contains("Judged on few.") && text.contains("Left out: much."));
    }

    #[test]
    fn lines_of_a_terminal_s_table_fit_where_they_can() {
        let table = |rows: usize| Table {
            caption: "Widths".into(),
            heads: ["", "first", "second", "third"].map(String::from).to_vec(),
            rows: (0..rows)
                .map(|n| ["row".to_string(), "1234".into(), format!("{n}"), "12345678".into()].to_vec())
                .collect(),
        };
        let whole = "Widths\n     first  second     third\nrow   1234       0  12345678\n";
        assert_eq!(table(1).aligned(usize::MAX), whole);
        assert_eq!(table(1).aligned(28), whole);
        // Transposed, it is narrower.
        assert_eq!(
            table(1).aligned(27),
            "Widths\n             row\nfirst       1234\nsecond         0\nthird   12345678\n"
        );
        // Neither way; then what does not fit stands below.
        let blocks = "Widths\n     first  second\nrow   1234       0\nrow   1234       1\n\n        third\nrow  12345678\nrow  12345678\n";
        assert_eq!(table(2).aligned(18), blocks);
        assert_eq!(table(2).aligned(1).lines().count(), 1 + 2 * 4 + 1); // two columns alone, instead of three
    }

    #[test]
    fn every_format_escapes_what_is_special_in_it() {
        let of = |format| write(&evaluation(), &[Metric::Fid], format);
        assert!(of(Format::Latex).contains("a\\_1 & 56.43 [55.43, 58.43] \\\\"));
        assert!(of(Format::Markdown).contains("| a_1 | 56.43 [55.43, 58.43] |\n"));
        let csv = of(Format::Csv);
        assert!(csv.contains("\n\"b, \"\"2\"\"\",all,FID,60,59,62,,36\n"), "{csv}");
        assert_eq!(csv.lines().count(), 1 + 3 * 2);
        assert_eq!(escaped("50 % \\ ~^"), "50 \\% \\textbackslash{} \\textasciitilde{}\\textasciicircum{}");
    }

    #[test]
    fn a_model_s_victories_are_one_sentence() {
        let mut evaluation = evaluation();
        let third = Row { name: "c".into(), ..evaluation.rows[2].clone() };
        evaluation.rows.push(third);
        for row in &mut evaluation.rows {
            row.expressions = Expression::ALL.map(|expression| (expression, row.overall.clone())).into();
        }
        let everywhere = || std::iter::once(None).chain(Expression::ALL.map(Some));
        let between = |rows: [&str; 2], interval: [f64; 2]| {
            let rows = rows.map(str::to_string);
            let of = move |expression| Difference { rows: rows.clone(), expression, value: 0.0, interval };
            everywhere().map(of).collect::<Vec<_>>()
        };
        let b = "b, \"2\"";
        evaluation.differences = between(["a_1", b], [1.0, 2.0]);
        evaluation.differences.extend(between([b, "c"], [-2.0, -1.0]));
        evaluation.differences.extend(between(["a_1", "c"], [-1.0, 1.0]));
        let expected = [
            format!("By KID {b} is better than a_1, c at every expression and all together."),
            "By KID a_1 and c cannot be told apart.".to_string(),
        ];
        assert_eq!(verdicts(&evaluation), expected);
        evaluation.differences[0].interval = [-1.0, 2.0];
        let some = format!("By KID {b} is better than a_1 at: angry,");
        assert!(verdicts(&evaluation)[0].starts_with(&some), "{:?}", verdicts(&evaluation));
        assert!(
            verdicts(&evaluation)[0].ends_with("surprised; than c at every expression and all together.")
        );
    }

    #[test]
    fn what_copies_is_said_to_copy() {
        let mut evaluation = evaluation();
        let said =
            |evaluation: &Evaluation| foot(evaluation).join("\n").contains("a_1's results are read as");
        assert!(!said(&evaluation));
        let copy = Row { name: "copy".into(), of: Of::Copy, ..evaluation.rows[0].clone() };
        evaluation.rows.insert(1, copy);
        for (row, low) in [(1, 0.05), (2, 0.06), (3, 0.2)] {
            let score = Score { value: low, interval: Some([low, low + 0.02]), error: None, count: 9 };
            evaluation.rows[row].overall.insert(Metric::FaceApi, score);
        }
        assert!(said(&evaluation) && !foot(&evaluation).join("\n").contains("\"2\"'s results are read as"));
    }

    #[test]
    fn who_cannot_be_told_apart_is_said_to_be_so() {
        let mut evaluation = evaluation();
        evaluation.differences.clear();
        assert_eq!(verdicts(&evaluation), ["By KID a_1 and b, \"2\" cannot be told apart."]);
        let json = serde_json::to_string(&evaluation).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), evaluation);
    }
}
