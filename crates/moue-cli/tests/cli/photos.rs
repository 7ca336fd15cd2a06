//! Photos in, photos out: faces found, everything else kept, and what is no use said in one sentence.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage, imageops};
use moue::base::file::FileSystem;
use moue::photo::FaceSquare;
use moue::photo::file::Photo;
use moue::photo::pixels::{Pixels, Samples};
use moue::photo::write::{PhotoFormat, WriteOptions};

use crate::program::{face, fail, files, names, repository, run, succeed, temporary};

/// The side and the corner of the face square in [`photo`].
const SIDE: u32 = 256;
const CORNER: (u32, u32) = (150, 90);

/// A rendered face on a larger canvas.
fn photo(name: &str) -> RgbImage {
    let mut canvas = RgbImage::from_fn(560, 420, |x, y| Rgb([120 + (x / 8) as u8, 130, 100 + (y / 8) as u8]));
    let face = moue::base::image::read(&face(name)).unwrap();
    imageops::replace(&mut canvas, &face, CORNER.0.into(), CORNER.1.into());
    canvas
}

fn write(image: RgbImage, path: &Path, format: PhotoFormat) {
    let photo = Photo::from_pixels(Pixels::from(image));
    photo.write(&FileSystem, path, photo.pixels(), format, &WriteOptions::unmarked()).unwrap();
}

fn bytes(path: &Path) -> Vec<u8> {
    match Photo::read(path).unwrap().pixels().samples() {
        Samples::Eight(samples) => samples.clone(),
        Samples::Sixteen(_) => panic!("{} has 16 bits", path.display()),
    }
}

fn translate(input: &Path, arguments: &str) -> String {
    succeed(&format!("translate {} --model {} {arguments}", input.display(), run().display()))
}

#[test]
fn only_the_face_s_square_is_touched() {
    let folder = temporary();
    let (input, out) = (folder.path().join("photo.png"), folder.path().join("out"));
    write(photo("006_neutral_frontal.jpg"), &input, PhotoFormat::Png);
    let found: serde_json::Value =
        serde_json::from_str(translate(&input, "--faces").trim()).expect("one face, one object");
    let eye = |name: &str| [0, 1].map(|axis| found[name][axis].as_f64().unwrap());
    let (left, right) = (eye("left_eye"), eye("right_eye"));
    let place = |u: f64| [f64::from(CORNER.0) + u * f64::from(SIDE), f64::from(CORNER.1) + 0.42 * 256.0];
    for (eye, truth) in [(left, place(0.375)), (right, place(0.625))] {
        let error = (eye[0] - truth[0]).hypot(eye[1] - truth[1]);
        assert!(error < 4.0, "{eye:?} is {error} pixels from {truth:?}");
    }
    translate(&input, &format!("--to happy --out {}", out.display()));
    let square = FaceSquare::from_eyes(left, right);
    let (before, after) = (bytes(&input), bytes(&out.join("photo_happy.png")));
    let mut changed = 0;
    for (n, (a, b)) in before.chunks(3).zip(after.chunks(3)).enumerate() {
        let [u, v] = square.to_square((n % 560) as f64 + 0.5, (n / 560) as f64 + 0.5);
        let inside = (0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v);
        assert!(a == b || inside, "pixel {n} lies outside");
        changed += usize::from(a != b);
    }
    assert!(changed > 10_000, "{changed} pixels changed");
    translate(&input, &format!("--to happy --strength 0 --out {}", out.display()));
    assert_eq!(bytes(&out.join("photo_happy.png")), before, "no strength is a copy");
}

#[test]
fn every_format_comes_in_and_goes_out() {
    let folder = temporary();
    let formats = [
        ("png", "png", PhotoFormat::Png),
        ("jpeg", "jpg", PhotoFormat::Jpeg),
        ("webp", "webp", PhotoFormat::Webp),
        ("tiff", "tif", PhotoFormat::Tiff),
    ];
    for (name, ending, format) in formats {
        let input = folder.path().join(format!("photo.{ending}"));
        write(photo("010_neutral_frontal.jpg"), &input, format);
        let out = folder.path().join(name);
        translate(&input, &format!("--to sad --format {name} --out {}", out.display()));
        assert_eq!(names(&out), [format!("photo_sad.{ending}")]);
        let result = out.join(format!("photo_sad.{ending}"));
        assert_eq!(Photo::read(&result).unwrap().format(), Some(format));
        let says = |path: &Path| {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            text.contains("compositeWithTrainedAlgorithmicMedia")
        };
        assert!(says(&result), "{name} is marked");
        translate(&input, &format!("--to sad --no-mark --format {name} --out {}", out.display()));
        assert!(!says(&result), "{name} is not marked");
    }
}

#[test]
fn a_photo_stored_on_its_side_stays_so_and_is_edited_alike() {
    let folder = temporary();
    let upright = photo("024_neutral_frontal.jpg");
    let path = |name: &str| folder.path().join(name);
    write(upright.clone(), &path("upright.png"), PhotoFormat::Png);
    // Orientation 6: the stored image is turned by 90 degrees to the right to be seen.
    let stored = imageops::rotate270(&upright);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut file = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
    image::ImageEncoder::set_exif_metadata(&mut encoder, exif.to_vec()).unwrap();
    let (width, height) = stored.dimensions();
    image::ImageEncoder::write_image(encoder, stored.as_raw(), width, height, image::ExtendedColorType::Rgb8)
        .unwrap();
    fs::write(path("turned.png"), file).unwrap();
    let out = path("out");
    let inputs = format!("{} {}", path("upright.png").display(), path("turned.png").display());
    succeed(&format!("translate {inputs} --model {} --to happy --out {}", run().display(), out.display()));
    let turned = Photo::read(&out.join("turned_happy.png")).unwrap();
    assert_eq!((turned.width(), turned.height(), turned.turn().exif()), (420, 560, 6));
    let (turned, upright) = (turned.upright(u32::MAX).0, bytes(&out.join("upright_happy.png")));
    let worst = turned.as_raw().iter().zip(&upright).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst.unwrap() <= 1, "they differ by {worst:?}");
}

#[test]
fn which_face_is_changed_can_be_said() {
    let folder = temporary();
    let mut both = RgbImage::from_pixel(900, 420, Rgb([140, 140, 150]));
    let small =
        moue::base::image::square(moue::base::image::read(&face("006_neutral_frontal.jpg")).unwrap(), 190);
    imageops::replace(&mut both, &photo("010_neutral_frontal.jpg"), 0, 0);
    imageops::replace(&mut both, &small, 640, 120);
    let input = folder.path().join("both.png");
    write(both.clone(), &input, PhotoFormat::Png);
    assert_eq!(translate(&input, "--faces").lines().count(), 2);
    let changed = |face: &str| {
        let out = folder.path().join(face);
        translate(&input, &format!("--to angry --face {face} --out {}", out.display()));
        let after = bytes(&out.join("both_angry.png"));
        let differs = |columns: std::ops::Range<usize>| {
            let pixels = both.as_raw().chunks(3).zip(after.chunks(3)).enumerate();
            pixels.filter(|(n, _)| columns.contains(&(n % 900))).any(|(_, (a, b))| a != b)
        };
        [differs(0..560), differs(640..900)]
    };
    assert_eq!(changed("largest"), [true, false]);
    assert_eq!(changed("1"), [true, false]);
    assert_eq!(changed("2"), [false, true]);
    assert_eq!(changed("all"), [true, true]);
    let third = format!("translate {} --model {} --face 3", input.display(), run().display());
    fail(&third, "2 faces, there is no face 3", "--faces");
}

#[test]
fn a_folder_becomes_a_data_set() {
    let folder = temporary();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    for name in ["006_neutral_frontal.jpg", "010_neutral_frontal.jpg"] {
        write(photo(name), &input.join(name.replace("jpg", "png")), PhotoFormat::Png);
    }
    fs::write(input.join("broken.png"), "no image").unwrap();
    let translate = format!("translate {} --model {}", input.display(), run().display());
    let strength = "--to happy,sad,angry --strength 0.5";
    // One of three cannot be translated: that is said, and the rest is done.
    fail(&format!("{translate} {strength} --out {}", out.display()), "broken.png", "PNG");
    let manifest = fs::read_to_string(out.join("manifest.csv")).unwrap();
    let lines: Vec<&str> = manifest.lines().collect();
    assert_eq!(lines[0], "file,source,identity,expression,model,strength");
    assert_eq!(lines.len(), 7);
    let row = &lines[1];
    assert!(row.starts_with("006_neutral_frontal_happy.png,") && row.ends_with(",0.5"), "{row}");
    assert!(row.contains(",006_neutral_frontal,happy,"), "{row}");
    let tiny = "--preset moue-smoke --set training.iterations=2 --set data.hold_out=nobody";
    let run = folder.path().join("run");
    succeed(&format!("train {tiny} --data {} --out {}", out.display(), run.display()));
    // And what that run learned can be used as it is.
    let result = folder.path().join("result");
    let input = input.join("006_neutral_frontal.png");
    let model = format!("--model {} --to happy --out {}", run.display(), result.display());
    succeed(&format!("translate {} {model}", input.display()));
    assert_eq!(names(&result), ["006_neutral_frontal_happy.png"]);
}

#[test]
fn results_never_take_the_place_of_what_was_there() {
    let folder = temporary();
    let (input, path) = (folder.path().join("in"), folder.path().join("in/p.png"));
    fs::create_dir(&input).unwrap();
    write(photo("006_neutral_frontal.jpg"), &path, PhotoFormat::Png);
    fs::write(input.join("manifest.csv"), "file,expression,identity\np.png,neutral,anna\n").unwrap();
    let before = files(folder.path());
    let translate = format!("translate {} --model {} --to sad", input.display(), run().display());
    fail(&format!("{translate} --crop-out {}", input.display()), "overwrite an input", "--out");
    fail(&format!("{translate} --out {}", input.display()), "translate did not write", "--out");
    fail(&format!("{translate} --animate {}", folder.path().join("a.mp4").display()), "mp4", ".gif or .webp");
    fail(&format!("{translate} --grid {}", folder.path().join("a.gif").display()), "gif", ".png");
    assert_eq!(names(folder.path()), before.keys().map(|p| p.display().to_string()).collect::<Vec<_>>());
    assert!(files(folder.path()) == before, "nothing is written or lost");
    // The folder's own table says who it is, and what is added to a table stays beside what was there.
    let out = folder.path().join("out");
    succeed(&format!("{translate} --out {}", out.display()));
    succeed(&format!("{} --out {}", translate.replace("sad", "happy,sad"), out.display()));
    let table = fs::read_to_string(out.join("manifest.csv")).unwrap();
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(rows.iter().all(|row| row.contains(",anna,")), "{table}");
    succeed(&format!("{} --out {}", translate.replace("sad", "angry"), out.display()));
    assert_eq!(fs::read_to_string(out.join("manifest.csv")).unwrap().lines().count(), 4);
}

#[test]
fn loops_squares_and_edits_are_written() {
    let folder = temporary();
    let path = |name: &str| folder.path().join(name);
    write(photo("029_neutral_frontal.jpg"), &path("photo.png"), PhotoFormat::Png);
    for ending in ["gif", "webp"] {
        let arguments = format!("--to surprised --animate {}", path("loop").with_extension(ending).display());
        translate(&path("photo.png"), &arguments);
        let start = fs::read(path("loop").with_extension(ending)).unwrap();
        assert!(start.starts_with(if ending == "gif" { b"GIF89a" } else { b"RIFF" }));
    }
    let arguments = format!(
        "--to happy --crop-out {} --show-edit {}",
        path("squares").display(),
        path("edits").display()
    );
    translate(&path("photo.png"), &arguments);
    assert_eq!(names(&path("squares")), ["photo.png"]);
    assert_eq!(moue::base::image::read(&path("squares/photo.png")).unwrap().dimensions(), (256, 256));
    assert_eq!(names(&path("edits")), ["photo_happy_change.png"]);
    assert!(!path("moue-out").exists());
    let two = format!("{0} {0}", path("photo.png").display());
    let arguments =
        format!("translate {two} --model {} --animate {}", run().display(), path("x.gif").display());
    fail(&arguments, "2 inputs", "one input");
}

#[test]
fn what_is_of_no_use_is_said_in_one_sentence() {
    let folder = temporary();
    let path = |name: &str| folder.path().join(name);
    let plain = |width, height| RgbImage::from_pixel(width, height, Rgb([90, 120, 200]));
    write(plain(300, 200), &path("sky.png"), PhotoFormat::Png);
    write(plain(1, 1), &path("pixel.png"), PhotoFormat::Png);
    let whole = photo("006_neutral_frontal.jpg");
    // Cut through the face's right half: one eye is missing.
    let half = imageops::crop_imm(&whole, 0, 0, CORNER.0 + 140, 420).to_image();
    write(half, &path("half.png"), PhotoFormat::Png);
    fs::write(path("film.jpg"), b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom").unwrap();
    fs::write(path("bomb.png"), bomb()).unwrap();
    for (name, problem, remedy) in [
        ("sky.png", "no face is found", "--aligned"),
        ("pixel.png", "no face is found", "--aligned"),
        ("half.png", "lie outside the picture", "whole face"),
        ("film.jpg", "this is a video", "ffmpeg"),
        ("bomb.png", "GiB of memory", "reduce the image"),
    ] {
        let out = path("out");
        let arguments =
            format!("translate {} --model {} --out {}", path(name).display(), run().display(), out.display());
        fail(&arguments, &format!("{name}: "), remedy);
        fail(&arguments, problem, remedy);
        assert!(!out.exists(), "not even a folder is left");
    }
}

/// A PNG of a few bytes that says it has 60,000 x 60,000 pixels.
fn bomb() -> Vec<u8> {
    let mut file = Vec::new();
    moue::base::image::encode_png(&RgbImage::new(2, 2), &mut file).unwrap();
    let header =
        [b"IHDR".as_slice(), &60_000u32.to_be_bytes(), &60_000u32.to_be_bytes(), &file[24..29]].concat();
    let mut checksum = u32::MAX;
    for byte in &header {
        checksum ^= u32::from(*byte);
        for _ in 0..8 {
            checksum = (checksum >> 1) ^ (0xEDB8_8320 & (checksum & 1).wrapping_neg());
        }
    }
    file[12..29].copy_from_slice(&header);
    file[29..33].copy_from_slice(&(!checksum).to_be_bytes());
    file
}

/// README's first command. It needs the model inside the program.
#[test]
fn the_model_inside_the_program_translates_the_portraits() {
    let folder = temporary();
    let sheet = folder.path().join("grid.png");
    let portraits = repository("assets/portraits");
    succeed(&format!("translate {} --to all --grid {}", portraits.display(), sheet.display()));
    assert_eq!(names(folder.path()), ["grid.png"]);
    let count = files(&portraits).len() as u32;
    let expected = (9 * 256 + 8 * 2, count * 256 + (count - 1) * 2);
    assert_eq!(moue::base::image::read(&sheet).unwrap().dimensions(), expected);
    assert!(succeed("info").contains("parameters"));
}
