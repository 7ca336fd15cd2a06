//! Pictures in rows and columns with their labels: figures 3 and 4 as the paper has them, as PNG and SVG.

use std::collections::BTreeSet;
use std::fmt::Write;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use moue::base::expression::Expression;
use moue::base::image::encode_png;
use moue::photo::landmarks::Landmarks;

use crate::evaluate::Portrait;

/// DejaVu Sans, its Latin, Greek and Cyrillic letters.
const FONT: &[u8] = include_bytes!("../../assets/dejavu-sans-latin-greek-cyrillic.ttf");

/// Height of the labels' letters, in pixels.
const TEXT: f32 = 15.0;

/// Space around cells and labels, in pixels.
const GAP: u32 = 6;

/// What figure 4 magnifies three of: the first that the models give.
const DETAILED: [Expression; 7] = [
    Expression::Happy,
    Expression::Surprised,
    Expression::Angry,
    Expression::Sad,
    Expression::Fearful,
    Expression::Disgusted,
    Expression::Contemptuous,
];

/// What the models were asked for.
fn targets(portraits: &[Portrait]) -> BTreeSet<Expression> {
    portraits
        .iter()
        .flat_map(|portrait| &portrait.results)
        .flat_map(|results| results.keys().copied())
        .collect()
}

/// A figure: cells of one size, labelled columns and rows.
pub(super) struct Figure {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(String, Vec<Option<RgbImage>>)>,
    /// Width and height of a cell.
    cell: [u32; 2],
}

/// Faces x methods x expressions: of each face its source and true images, then a row a method.
pub(super) fn figure_3(portraits: &[Portrait], methods: &[String]) -> Figure {
    const CELL: u32 = 128;
    let fit = |image: &RgbImage| imageops::resize(image, CELL, CELL, FilterType::CatmullRom);
    let targets = targets(portraits);
    let mut rows = Vec::new();
    for portrait in portraits {
        let mut truth: Vec<Option<RgbImage>> = vec![Some(fit(&portrait.source))];
        let own = |expression: Expression| match portrait.shown == expression {
            true => Some(&portrait.source),
            false => portrait.truths.get(&expression),
        };
        truth.extend(targets.iter().map(|&expression| own(expression).map(fit)));
        rows.push((format!("{}: true", portrait.name), truth));
        for (method, results) in methods.iter().zip(&portrait.results) {
            let mut cells = vec![None];
            cells.extend(targets.iter().map(|expression| results.get(expression).map(fit)));
            rows.push((method.clone(), cells));
        }
    }
    let names = targets.iter().map(|expression| expression.name().to_string());
    Figure { columns: std::iter::once("source".to_string()).chain(names).collect(), rows, cell: [CELL, CELL] }
}

/// Eyes and mouth, magnified, of the source, the true image and each method's result. The boxes are those of the true
/// image's landmarks, the same in all columns; of the source's where there is no true image.
pub(super) fn figure_4(portraits: &[Portrait], methods: &[String], landmarks: &Landmarks) -> Figure {
    const CELL: [u32; 2] = [240, 120];
    let mut rows = Vec::new();
    let targets = targets(portraits);
    for portrait in portraits.iter().take(2) {
        for expression in DETAILED.into_iter().filter(|expression| targets.contains(expression)).take(3) {
            let truth = portrait.truths.get(&expression);
            let regions = regions(truth.unwrap_or(&portrait.source), landmarks);
            let results = portrait.results.iter().map(|results| results.get(&expression));
            let images: Vec<Option<&RgbImage>> =
                [Some(&portrait.source), truth].into_iter().chain(results).collect();
            for (part, region) in ["eyes", "mouth"].into_iter().zip(regions) {
                let cells = images.iter().map(|image| image.map(|image| magnified(image, &region, CELL)));
                rows.push((format!("{}, {}: {part}", portrait.name, expression.name()), cells.collect()));
            }
        }
    }
    let columns = ["source", "true"].map(str::to_string).into_iter().chain(methods.iter().cloned());
    Figure { columns: columns.collect(), rows, cell: CELL }
}

/// The points of brows and eyes, and those of the mouth, in coordinates from 0 to 1 over the square.
fn regions(face: &RgbImage, landmarks: &Landmarks) -> [Vec<[f64; 2]>; 2] {
    let side = f64::from(face.width());
    let points: Vec<[f64; 2]> =
        landmarks.in_square(face).into_iter().map(|point| point.map(|pixels| pixels / side)).collect();
    [[&points[17..27], &points[36..48]].concat(), points[48..68].to_vec()]
}

/// The part of a square about some points, coordinates in 0..1, with a margin, in the shape of a cell.
fn magnified(image: &RgbImage, points: &[[f64; 2]], cell: [u32; 2]) -> RgbImage {
    let side = f64::from(image.width());
    let span = |axis: usize| {
        let (low, high) = points
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point[axis]), high.max(point[axis])));
        ((low + high) / 2.0 * side, (high - low) * side)
    };
    let ((x, width), (y, height)) = (span(0), span(1));
    let shape = f64::from(cell[0]) / f64::from(cell[1]);
    let width = (1.3 * width.max(height * shape)).clamp(8.0, side);
    let height = width / shape;
    let place = |centre: f64, length: f64| (centre - length / 2.0).clamp(0.0, side - length) as u32;
    let part = imageops::crop_imm(image, place(x, width), place(y, height), width as u32, height as u32);
    imageops::resize(&part.to_image(), cell[0], cell[1], FilterType::CatmullRom)
}

impl Figure {
    /// Width of the rows' labels, whole size, and the place of a cell.
    fn layout(&self) -> (u32, [u32; 2], impl Fn(usize, usize) -> [u32; 2]) {
        let font = font();
        let widest = self.rows.iter().map(|(label, _)| text_width(&font, label)).fold(0.0, f32::max);
        let (left, top) = (widest.ceil() as u32 + 2 * GAP, TEXT as u32 + 2 * GAP);
        let [width, height] = self.cell;
        let place = move |row: usize, column: usize| {
            [left + column as u32 * (width + GAP), top + row as u32 * (height + GAP)]
        };
        let size = place(self.rows.len(), self.columns.len());
        (left, size, place)
    }

    /// The figure as a picture, on white.
    pub(super) fn picture(&self) -> RgbImage {
        let (left, [width, height], place) = self.layout();
        let mut picture = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        let font = font();
        for (column, name) in self.columns.iter().enumerate() {
            let name = shortened(&font, name, self.cell[0] as f32);
            let room = self.cell[0] as f32 - text_width(&font, &name);
            let [x, _] = place(0, column);
            draw(&mut picture, &font, [x as f32 + room / 2.0, GAP as f32], &name);
        }
        for (row, (label, cells)) in self.rows.iter().enumerate() {
            let x = (left - GAP) as f32 - text_width(&font, label);
            let [_, y] = place(row, 0);
            draw(&mut picture, &font, [x, y as f32 + (self.cell[1] as f32 - TEXT) / 2.0], label);
            for (column, cell) in cells.iter().enumerate() {
                if let Some(cell) = cell {
                    let [x, y] = place(row, column);
                    imageops::replace(&mut picture, cell, x.into(), y.into());
                }
            }
        }
        picture
    }

    /// The figure as a drawing that holds its pictures and its text.
    pub(super) fn drawing(&self) -> String {
        let (left, [width, height], place) = self.layout();
        let font = font();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"DejaVu Sans, sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let mut text = |x: u32, y: u32, anchor: &str, text: &str| {
            let text = escaped(text);
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>")
                .expect("a string takes everything");
        };
        for (column, name) in self.columns.iter().enumerate() {
            let name = shortened(&font, name, self.cell[0] as f32);
            text(place(0, column)[0] + self.cell[0] / 2, GAP + 12, "middle", &name);
        }
        for (row, (label, _)) in self.rows.iter().enumerate() {
            text(left - GAP, place(row, 0)[1] + self.cell[1] / 2 + 4, "end", label);
        }
        for (row, (_, cells)) in self.rows.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let ([x, y], [width, height], data) = (place(row, column), self.cell, data_url(cell));
                writeln!(
                    svg,
                    "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" href=\"{data}\"/>"
                )
                .expect("a string takes everything");
            }
        }
        svg + "</svg>\n"
    }
}

/// A picture within a page.
pub(super) fn data_url(image: &RgbImage) -> String {
    let mut png = Vec::new();
    encode_png(image, &mut png).expect("a vector takes everything");
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// Text between tags.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn font() -> FontRef<'static> {
    FontRef::try_from_slice(FONT).expect("the font in the program is sound")
}

fn text_width(font: &FontRef<'_>, text: &str) -> f32 {
    let font = font.as_scaled(PxScale::from(TEXT));
    text.chars().map(|letter| font.h_advance(font.glyph_id(letter))).sum()
}

/// A text that fits into a width, with dots where its end is missing.
fn shortened(font: &FontRef<'_>, text: &str, width: f32) -> String {
    if text_width(font, text) <= width {
        return text.to_string();
    }
    let mut short: String = text.to_string();
    while !short.is_empty() && text_width(font, &format!("{short}…")) > width {
        short.pop();
    }
    short + "…"
}

/// Draws dark text whose upper left corner is at `place`.
fn draw(picture: &mut RgbImage, font: &FontRef<'_>, place: [f32; 2], text: &str) {
    let scaled = font.as_scaled(PxScale::from(TEXT));
    let (mut x, base) = (place[0], place[1] + scaled.ascent());
    for letter in text.chars() {
        let glyph = scaled.glyph_id(letter).with_scale_and_position(PxScale::from(TEXT), point(x, base));
        x += scaled.h_advance(glyph.id);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|across, down, coverage| {
            let (x, y) = (bounds.min.x as i64 + i64::from(across), bounds.min.y as i64 + i64::from(down));
            let inside = x >= 0 && y >= 0 && x < picture.width().into() && y < picture.height().into();
            if inside {
                let dark = (255.0 * (1.0 - coverage.clamp(0.0, 1.0) * 0.87)) as u8;
                let pixel = picture.get_pixel_mut(x as u32, y as u32);
                pixel.0 = pixel.0.map(|value| value.min(dark));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use moue::base::device::device;
    use moue::base::image::read;

    use super::*;

    #[test]
    fn eyes_and_mouths_are_where_the_framing_has_them() {
        let faces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/faces");
        let face = read(&faces.join("006/006_surprised_frontal.jpg")).unwrap();
        let [eyes, mouth] = regions(&face, &Landmarks::new(&device("cpu").unwrap()));
        let middle = |points: &[[f64; 2]], axis: usize| {
            points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64
        };
        for (points, line) in [(&eyes, 0.40), (&mouth, 0.68)] {
            let (x, y) = (middle(points, 0), middle(points, 1));
            assert!((x - 0.5).abs() < 0.04 && (y - line).abs() < 0.06, "{x} {y}");
        }
    }

    #[test]
    fn a_region_is_magnified_with_a_margin() {
        // Red from 0.25 to 0.75 across and from 0.5 to 0.6 down, blue around it.
        let is_red = |x: u32, y: u32| (50..150).contains(&x) && (100..120).contains(&y);
        let red = |x, y| if is_red(x, y) { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
        let image = RgbImage::from_fn(200, 200, red);
        let cell = magnified(&image, &[[0.25, 0.5], [0.75, 0.6]], [240, 120]);
        assert_eq!(
            (cell[(120, 60)], cell[(3, 60)], cell[(120, 3)]),
            (Rgb([255, 0, 0]), Rgb([0, 0, 255]), Rgb([0, 0, 255]))
        );
    }
}
