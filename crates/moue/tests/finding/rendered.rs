//! Photos made of the repository's rendered faces: 256 x 256, the eyes at (0.375, 0.42) and (0.625, 0.42).

use std::path::Path;

use image::{Rgb, RgbImage};
use moue::base::device::device;
use moue::base::image::read;
use moue::photo::{Face, FaceSquare, Finder};

use super::compose::{eye_errors, level, paste, plain, spread, turned};

fn finder() -> Finder {
    Finder::new(&device("cpu").unwrap())
}

fn asset(path: &str) -> RgbImage {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets").join(path)).unwrap()
}

fn rendered(identity: &str, expression: &str) -> RgbImage {
    asset(&format!("faces/{identity}/{identity}_{expression}_frontal.jpg"))
}

/// The eyes of a rendered face whose picture lies in this square.
fn eyes(place: &FaceSquare) -> [[f64; 2]; 2] {
    [place.to_photo(0.375, 0.42), place.to_photo(0.625, 0.42)]
}

#[track_caller]
fn at(face: &Face, place: &FaceSquare, percent: f64) {
    let errors = eye_errors(face, eyes(place));
    assert!(errors.iter().all(|&error| error < percent), "eyes are {errors:.1?} % off");
}

#[test]
fn rendered_faces_are_found_one_by_one() {
    let finder = finder();
    let place = FaceSquare { origin: [0.0; 2], across: [256.0, 0.0], down: [0.0, 256.0] };
    for identity in ["006", "010", "011", "024", "029", "033", "046", "051", "058", "059", "063", "067"] {
        let faces = finder.find(&rendered(identity, "surprised"));
        assert_eq!(faces.len(), 1, "{identity}");
        // All 96 rendered faces: median 2.1 %, at most 6.2. Their eyes' places are those of the eyeballs.
        at(&faces[0], &place, 7.0);
        assert!(faces[0].is_whole(256, 256) && faces[0].roll_degrees().abs() < 2.5, "{identity}");
        let [left, top, right, bottom] = faces[0].bounds;
        assert!(left > 30.0 && top > 60.0 && right < 226.0 && bottom < 256.0, "{:?}", faces[0].bounds);
        let mouth = faces[0].landmarks[62];
        assert!(mouth[1] > 150.0 && mouth[1] < 215.0, "{mouth:?}");
    }
}

#[test]
fn several_faces_come_largest_first_at_any_rotation() {
    let places = [
        turned([230.0, 300.0], 400.0, -45.0),
        turned([700.0, 650.0], 330.0, 45.0),
        turned([800.0, 210.0], 270.0, 90.0),
        turned([200.0, 800.0], 220.0, -30.0),
        level([460.0, 820.0], 180.0),
    ];
    let mut photo = plain(1000);
    for (place, identity) in places.iter().zip(["006", "033", "046", "010", "058"]) {
        paste(&mut photo, &rendered(identity, "neutral"), place);
    }
    let mut faces = finder().find(&photo);
    assert_eq!(faces.len(), places.len());
    let area = |face: &Face| (face.bounds[2] - face.bounds[0]) * (face.bounds[3] - face.bounds[1]);
    assert!(faces.is_sorted_by(|a, b| area(a) >= area(b)));
    faces.sort_by(|a, b| b.eye_distance().total_cmp(&a.eye_distance()));
    for (face, (place, degrees)) in faces.iter().zip(places.iter().zip([-45.0, 45.0, 90.0, -30.0, 0.0])) {
        at(face, place, 6.0);
        assert!((face.roll_degrees() - degrees).abs() < 2.5, "{}", face.roll_degrees());
    }
}

#[test]
fn a_face_on_its_head_is_seen_as_one() {
    let place = turned([300.0, 300.0], 500.0, 180.0);
    let faces = finder().find(&spread(&rendered("006", "happy"), &place, 600));
    assert_eq!(faces.len(), 1);
    at(&faces[0], &place, 6.0);
}

#[test]
fn small_faces_are_found_in_large_photos() {
    let finder = finder();
    // The eyes are a quarter of the square apart: 30, then 10 pixels, which are 2 when the whole is seen at once.
    for (square, side) in [(120.0, 1200), (40.0, 1200)] {
        for identity in ["006", "024"] {
            let place = level([0.8 * f64::from(side), 0.3 * f64::from(side)], square);
            let mut photo = plain(side);
            paste(&mut photo, &rendered(identity, "neutral"), &place);
            let faces = finder.find(&photo);
            assert_eq!(faces.len(), 1, "{identity} {square}");
            at(&faces[0], &place, 8.0);
        }
    }
}

#[test]
fn photos_of_100_pixels_are_large_enough() {
    let place = level([50.0, 52.0], 90.0);
    let faces = finder().find(&spread(&rendered("033", "neutral"), &place, 100));
    assert_eq!(faces.len(), 1);
    at(&faces[0], &place, 6.0);
}

#[test]
fn a_photo_of_20_megapixels_is_no_other_than_a_small_one() {
    let place = level([2600.0, 2100.0], 2000.0);
    let mut photo = RgbImage::from_pixel(5000, 4000, Rgb([176, 182, 188]));
    let near = spread(&rendered("063", "neutral"), &level([1000.0, 1000.0], 2000.0), 2000);
    image::imageops::replace(&mut photo, &near, 1600, 1100);
    let faces = finder().find(&photo);
    assert_eq!(faces.len(), 1);
    at(&faces[0], &place, 6.0);
}

#[test]
fn the_edge_of_the_photo_may_touch_the_face_but_not_cut_it() {
    let finder = finder();
    let cut = |x: u32, y: u32, width: u32, height: u32| {
        let image = image::imageops::crop_imm(&rendered("006", "neutral"), x, y, width, height).to_image();
        let shift =
            FaceSquare { origin: [-f64::from(x), -f64::from(y)], across: [256.0, 0.0], down: [0.0, 256.0] };
        (finder.find(&image), shift, [width, height])
    };
    // The brows' upper edge, the chin and the cheeks are the photo's edges.
    let (faces, place, [width, height]) = cut(58, 62, 140, 172);
    assert_eq!(faces.len(), 1);
    at(&faces[0], &place, 6.0);
    assert!(faces[0].is_whole(width, height));
    // Without an eye, without the mouth, without both eyes: not found, or known not to be whole.
    for [x, y, width, height] in [[110, 0, 146, 256], [0, 0, 256, 172], [0, 115, 256, 141]] {
        let (faces, _, [width, height]) = cut(x, y, width, height);
        assert!(!faces.iter().any(|face| face.is_whole(width, height)), "{x} {y}: {faces:?}");
    }
}

/// Pictures that hold no face: (name, width, height, colour of a place).
fn without_faces() -> Vec<(&'static str, RgbImage)> {
    // A few octaves of value noise.
    let hash = |x: i64, y: i64, seed: i64| {
        let mut value = (x * 374_761_393 + y * 668_265_263 + seed * 2_147_483_647) as u64;
        value = (value ^ (value >> 13)).wrapping_mul(1_274_126_177);
        ((value ^ (value >> 16)) & 0xFFFF) as f64 / 65_535.0
    };
    let smooth = move |x: f64, y: f64, seed: i64| {
        let (left, top) = (x.floor(), y.floor());
        let ease = |t: f64| t * t * (3.0 - 2.0 * t);
        let (across, down) = (ease(x - left), ease(y - top));
        let at = |dx: i64, dy: i64| hash(left as i64 + dx, top as i64 + dy, seed);
        let row = |dy: i64| at(0, dy) * (1.0 - across) + at(1, dy) * across;
        row(0) * (1.0 - down) + row(1) * down
    };
    let clouds = move |x: f64, y: f64, seed: i64| {
        let octave =
            |n: i32| 0.5f64.powi(n) * smooth(x * 2f64.powi(n), y * 2f64.powi(n), seed + i64::from(n));
        (0..5).map(octave).sum::<f64>() / 1.94
    };
    let picture = |side: u32, colour: &dyn Fn(f64, f64) -> [f64; 3]| {
        RgbImage::from_fn(side, side * 3 / 4, |x, y| {
            let colour = colour(f64::from(x) / f64::from(side), f64::from(y) / f64::from(side));
            Rgb(colour.map(|value| (value * 255.0) as u8))
        })
    };
    let skin = |value: f64| [0.45 + 0.5 * value, 0.3 + 0.45 * value, 0.25 + 0.4 * value];
    vec![
        ("nothing", RgbImage::new(0, 0)),
        ("one pixel", RgbImage::new(1, 1)),
        ("a line", RgbImage::new(3000, 2)),
        ("grey", plain(300)),
        ("noise", picture(320, &|x, y| [1, 2, 3].map(|s| hash((x * 1e4) as i64, (y * 1e4) as i64, s)))),
        ("skin", picture(400, &|x, y| skin(clouds(6.0 * x, 6.0 * y, 7)))),
        ("marble", picture(640, &|x, y| [(20.0 * (x + clouds(4.0 * x, 4.0 * y, 3))).sin() * 0.4 + 0.5; 3])),
        ("checks", picture(640, &|x, y| [(((x * 9.0) as u32 + (y * 9.0) as u32) % 2) as f64 * 0.9; 3])),
        (
            "dots",
            picture(640, &|x, y| {
                let inside = f64::hypot((x * 8.0).fract() - 0.5, (y * 8.0).fract() - 0.5) < 0.3;
                if inside { [0.2, 0.15, 0.1] } else { [0.9, 0.7, 0.6] }
            }),
        ),
        (
            "mountains",
            picture(800, &|x, y| {
                let ridge = |n: f64, height: f64| height + 0.25 * (clouds(3.0 * n * x, 9.0 * n, 5) - 0.5);
                let sun = f64::hypot(x - 0.7, y - 0.15) < 0.05;
                match y {
                    _ if y > ridge(2.0, 0.6) => [0.15, 0.3 + 0.2 * clouds(60.0 * x, 60.0 * y, 9), 0.1],
                    _ if y > ridge(1.0, 0.4) => [0.4, 0.42, 0.5],
                    _ if sun => [1.0, 0.95, 0.6],
                    _ => [0.5 + 0.3 * clouds(4.0 * x, 8.0 * y, 1), 0.7, 0.9],
                }
            }),
        ),
    ]
}

#[test]
fn there_is_no_face_where_there_is_none() {
    let finder = finder();
    for (name, picture) in without_faces() {
        assert_eq!(finder.find(&picture), [], "{name}");
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let photo = asset("portraits/woman.jpg");
    let finder = finder();
    let find = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| finder.find(&photo))
    };
    let faces = find(1);
    assert_eq!(faces.len(), 1);
    assert_eq!(faces, find(3));
}
