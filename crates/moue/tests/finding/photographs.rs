//! How exactly eyes are found in photographs. The repository holds none: `MOUE_PHOTOS` names a folder with an `eyes.csv`
//! of the columns file, left_x, left_y, right_x, right_y, the centres of the pupils in pixels.
//!
//! ```sh
//! MOUE_PHOTOS=photos cargo test -p moue --test finding -- --ignored --nocapture photographs
//! ```

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use image::RgbImage;
use moue::base::device::device;
use moue::base::image::read;
use moue::photo::{Face, FaceSquare, Finder};

use super::compose::{eye_errors, level, spread, turned};

/// A photograph, or what was made of one, and where its eyes are.
type Case = (RgbImage, [[f64; 2]; 2]);

fn cases(folder: &Path) -> Vec<Case> {
    let list = std::fs::read_to_string(folder.join("eyes.csv")).expect("the folder has eyes.csv");
    let case = |line: &str| {
        let mut parts = line.split(',');
        let image = read(&folder.join(parts.next().unwrap())).unwrap();
        let numbers: Vec<f64> = parts.map(|part| part.trim().parse().unwrap()).collect();
        (image, [[numbers[0], numbers[1]], [numbers[2], numbers[3]]])
    };
    list.lines().skip(1).filter(|line| !line.trim().is_empty()).map(case).collect()
}

/// The photograph moved by `place`, where its own unit square (its width both ways) comes to lie.
fn moved((image, eyes): &Case, place: &FaceSquare, side: u32) -> Case {
    let width = f64::from(image.width());
    let eyes = eyes.map(|[x, y]| place.to_photo(x / width, y / width));
    (spread(image, place, side), eyes)
}

/// Shrunk or enlarged so that the eyes are `distance` pixels apart, near a corner of a square of `side` pixels.
fn small(case: &Case, distance: f64, side: u32) -> Case {
    let [left, right] = case.1;
    let scale = distance / f64::hypot(right[0] - left[0], right[1] - left[1]);
    let size = scale * f64::from(case.0.width());
    moved(case, &level([size / 2.0 + 0.55 * f64::from(side), size / 2.0 + 0.6 * f64::from(side)], size), side)
}

/// Turned clockwise around the middle of a canvas that holds it all.
fn rolled(case: &Case, degrees: f64) -> Case {
    moved(case, &turned([640.0, 640.0], 900.0, degrees), 1280)
}

/// Cut at the face's outline.
fn tight((image, [left, right]): &Case) -> Case {
    let distance = right[0] - left[0];
    let middle = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
    let x = (middle[0] - 1.1 * distance).max(0.0) as u32;
    let y = (middle[1] - 0.9 * distance).max(0.0) as u32;
    let cut = image::imageops::crop_imm(image, x, y, (2.2 * distance) as u32, (2.75 * distance) as u32);
    let shift = |[a, b]: [f64; 2]| [a - f64::from(x), b - f64::from(y)];
    (cut.to_image(), [shift(*left), shift(*right)])
}

/// What this thread has computed so far, however busy the machine is; on other systems than Linux, the clock.
fn milliseconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = statistics.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64() * 1e3, |nanoseconds| nanoseconds / 1e6)
}

/// Without what lies left of a place 0.1 eye distances right of the left eye, or below one halfway to the mouth's place.
fn cut_off((image, [left, right]): &Case, eye: bool) -> Case {
    let distance = right[0] - left[0];
    let x = if eye { (left[0] + 0.1 * distance) as u32 } else { 0 };
    let height = if eye { image.height() } else { (left[1] + 0.9 * distance) as u32 };
    let cut = image::imageops::crop_imm(image, x, 0, image.width() - x, height).to_image();
    (cut, [left, right].map(|[a, b]| [a - f64::from(x), *b]))
}

/// One row of the table; its 95th percentile of errors.
fn row(finder: &Finder, name: &str, cases: &[Case]) -> f64 {
    let (mut errors, mut rolls, mut times, mut extra, mut cut) = (vec![], vec![], vec![], 0, 0);
    for (image, eyes) in cases {
        let start = milliseconds();
        let faces = finder.find(image);
        times.push(milliseconds() - start);
        let right: Vec<&Face> = faces.iter().filter(|face| eye_errors(face, *eyes)[0] < 50.0).collect();
        extra += faces.len() - right.len().min(1);
        let Some(face) = right.first() else { continue };
        cut += usize::from(!face.is_whole(image.width(), image.height()));
        errors.extend(eye_errors(face, *eyes));
        let [left, right] = *eyes;
        let truth = (right[1] - left[1]).atan2(right[0] - left[0]).to_degrees();
        rolls.push((face.roll_degrees() - truth).abs());
    }
    let found = rolls.len();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (mean_error, mean_roll) = (mean(&errors), mean(&rolls));
    errors.sort_by(f64::total_cmp);
    rolls.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    let part = |values: &[f64], part: f64| {
        let at = (part * values.len().saturating_sub(1) as f64).round() as usize;
        values.get(at).copied().unwrap_or(f64::NAN)
    };
    eprintln!(
        "| {name} | {found} of {} | {extra} | {cut} | {mean_error:.2} / {:.2} / {:.2} / {:.2} | {mean_roll:.2} / {:.2} | {:.0} / {:.0} |",
        cases.len(),
        part(&errors, 0.5),
        part(&errors, 0.95),
        part(&errors, 1.0),
        part(&rolls, 1.0),
        part(&times, 0.5),
        part(&times, 1.0),
    );
    part(&errors, 0.95)
}

#[test]
#[ignore = "needs photographs: set MOUE_PHOTOS"]
fn photographs_have_their_eyes_within_4_percent() {
    let Some(folder) = std::env::var_os("MOUE_PHOTOS").map(PathBuf::from) else {
        eprintln!("skipped: MOUE_PHOTOS names no folder of photographs with eyes.csv");
        return;
    };
    let cases = cases(&folder);
    let some: Vec<&Case> = cases.iter().step_by(4).collect();
    let finder = Finder::new(&device("cpu").unwrap());
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let largest = one.install(|| {
        eprintln!("| photographs | found | false | cut off | eyes: mean / median / p95 / max, % | roll: mean / max, degrees | ms, 1 thread: median / max |");
        eprintln!("|---|---|---|---|---|---|---|");
        let largest = row(&finder, "as they are", &cases);
        let made = |make: &dyn Fn(&Case) -> Case| some.iter().map(|case| make(case)).collect::<Vec<_>>();
        for degrees in [15.0, -30.0, 45.0, -45.0, 90.0, -90.0, 180.0] {
            row(&finder, &format!("rolled by {degrees} degrees"), &made(&|case| rolled(case, degrees)));
        }
        row(&finder, "cut at the outline", &made(&tight));
        for (name, eye) in [("without the left eye", true), ("without the mouth", false)] {
            let cut: Vec<_> = cases.iter().map(|case| cut_off(case, eye)).collect();
            row(&finder, name, &cut);
            for (image, _) in &cut {
                let faces = finder.find(image);
                let whole = faces.iter().filter(|face| face.is_whole(image.width(), image.height()));
                assert_eq!(whole.count(), 0, "{name}");
            }
        }
        row(&finder, "30 px between the eyes in 1200 px", &made(&|case| small(case, 30.0, 1200)));
        row(&finder, "15 px between the eyes in 1200 px", &made(&|case| small(case, 15.0, 1200)));
        row(&finder, "10 px between the eyes in 1200 px", &made(&|case| small(case, 10.0, 1200)));
        row(&finder, "100 px photos", &made(&|case| moved(case, &level([50.0, 50.0], 100.0), 100)));
        row(&finder, "64 px photos", &made(&|case| moved(case, &level([32.0, 32.0], 64.0), 64)));
        largest
    });
    assert!(largest <= 4.0, "the 95th percentile is {largest:.2} % of the distance of the eyes");
}
