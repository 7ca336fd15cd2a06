//! Photos to a data set: squares, manifest and report; the same whatever happens on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use moue::base::device::device;
use moue::base::file::FileSystem;
use moue::base::image;
use moue::photo::{FaceSquare, Finder};

use crate::program::{Outcome, face, fail, files, moue, names, outcome, succeed, temporary, wait_until};

/// Three people with two expressions each: model number, ethnicity and sex as in RaFD, and a rendered face's name.
const PEOPLE: [(&str, &str, &str); 3] =
    [("01", "Caucasian_female", "010"), ("07", "Caucasian_male", "006"), ("41", "Kid_female", "011")];

/// Writes a rendered face on a larger canvas, whose middle it leaves by `aside` and which is turned by `degrees`. The
/// plain background goes on to the canvas' edge. Photos are told by their content: this is PNG, whatever its name.
fn write_photo(path: &Path, name: &str, (side, scale): (u32, f64), aside: f64, degrees: f64) {
    let face = image::read(&face(name)).unwrap();
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let length = f64::from(side) / scale;
    let (across, down) = ([length * cosine, length * sine], [-length * sine, length * cosine]);
    let origin = [0, 1].map(|axis| 128.0 + aside - (across[axis] + down[axis]) / 2.0);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let canvas = FaceSquare { origin, across, down }.crop(&face, side);
    image::write_png(&FileSystem, path, &canvas).unwrap();
}

/// A stand-in for RaFD, of which nobody may hand out a file: nine photos, one with two faces, and five that are none.
fn write_source(source: &Path) {
    for (n, (number, kind, person)) in PEOPLE.into_iter().enumerate() {
        for (m, expression) in ["happy", "sad"].into_iter().enumerate() {
            let name = format!("deep/{number}/Rafd090_{number}_{kind}_{expression}_frontal.jpg");
            let rendered = format!("{person}_{expression}_frontal.jpg");
            let (aside, degrees) = (20.0 * n as f64 - 30.0, 8.0 * m as f64 - 6.0 * n as f64);
            write_photo(&source.join(name), &rendered, (420, 0.9 - 0.1 * n as f64), aside, degrees);
        }
    }
    let two = source.join("rafd090_07_CAUCASIAN_male_Surprised_LEFT.png");
    write_photo(&two, "006_surprised_frontal.jpg", (400, 0.9), 60.0, 0.0);
    let (mut both, small) =
        (image::read(&two).unwrap(), image::read(&face("033_happy_frontal.jpg")).unwrap());
    let small = image::square(small, 130);
    for (x, y, pixel) in small.enumerate_pixels() {
        both.put_pixel(x + 265, y + 265, *pixel);
    }
    image::write_png(&FileSystem, &two, &both).unwrap();

    let write = |name: &str, bytes: &[u8]| fs::write(source.join(name), bytes).unwrap();
    let jpeg = fs::read(face("006_sad_frontal.jpg")).unwrap();
    write("Rafd090_02_Caucasian_female_sad_left.jpg", &jpeg[..jpeg.len() / 2]);
    write("Rafd090_03_Caucasian_male_hungry_left.jpg", &jpeg);
    write("portrait.jpg", &jpeg);
    write("readme.txt", b"no image");
    // The mouth is below the edge.
    let part = FaceSquare { origin: [48.0, -8.0], across: [160.0, 0.0], down: [0.0, 160.0] };
    let part = part.crop(&image::read(&face("006_neutral_frontal.jpg")).unwrap(), 320);
    image::write_png(&FileSystem, &source.join("Rafd090_04_Caucasian_female_neutral_right.png"), &part)
        .unwrap();
    // A profile shows the finder nothing; a wall will do.
    let wall = FaceSquare { origin: [0.0, 0.0], across: [9.0, 0.0], down: [0.0, 9.0] };
    let wall = wall.crop(&image::read(&face("006_neutral_frontal.jpg")).unwrap(), 200);
    image::write_png(&FileSystem, &source.join("Rafd180_01_Caucasian_female_happy_frontal.png"), &wall)
        .unwrap();
}

/// The source and what a preparation made of it, with what it said. Tests share them and only read.
fn prepared() -> &'static (PathBuf, PathBuf, String) {
    static PREPARED: OnceLock<(PathBuf, PathBuf, String)> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared-rafd");
        let _ = fs::remove_dir_all(&folder);
        let (source, out) = (folder.join("RaFD"), folder.join("new/out"));
        write_source(&source);
        let Outcome { code, stdout, stderr } = outcome(moue(&command(&source, &out, "--threads 2")));
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
        (source, out, stderr)
    })
}

fn command(source: &Path, out: &Path, more: &str) -> String {
    format!("prepare {} --out {} {more}", source.display(), out.display())
}

/// The files that matter: not the lock, which is empty.
fn results(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(out).into_iter().filter(|(path, _)| path != Path::new("prepare.lock")).collect()
}

fn modified(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let time = |path: &PathBuf| fs::metadata(out.join(path)).unwrap().modified().unwrap();
    files(out).into_keys().map(|path| (path.clone(), time(&path))).collect()
}

#[test]
fn rafd_s_names_become_a_manifest_and_its_faces_squares() {
    let (_, out, stderr) = prepared();
    let rows = [
        "file,identity,expression,gaze,camera_angle,ethnicity,sex",
        "deep/01/Rafd090_01_Caucasian_female_happy_frontal.png,01,happy,frontal,090,caucasian,female",
        "deep/01/Rafd090_01_Caucasian_female_sad_frontal.png,01,sad,frontal,090,caucasian,female",
        "deep/07/Rafd090_07_Caucasian_male_happy_frontal.png,07,happy,frontal,090,caucasian,male",
        "deep/07/Rafd090_07_Caucasian_male_sad_frontal.png,07,sad,frontal,090,caucasian,male",
        "deep/41/Rafd090_41_Kid_female_happy_frontal.png,41,happy,frontal,090,kid,female",
        "deep/41/Rafd090_41_Kid_female_sad_frontal.png,41,sad,frontal,090,kid,female",
        "rafd090_07_CAUCASIAN_male_Surprised_LEFT.png,07,surprised,left,090,caucasian,male",
    ];
    let manifest = fs::read_to_string(out.join("manifest.csv")).unwrap();
    assert_eq!(manifest.lines().collect::<Vec<_>>(), rows);
    let skipped = fs::read_to_string(out.join("skipped.csv")).unwrap();
    assert_eq!(
        skipped.lines().collect::<Vec<_>>(),
        [
            "file,reason",
            "Rafd090_02_Caucasian_female_sad_left.jpg,the image is damaged (the file is cut off)",
            "Rafd090_04_Caucasian_female_neutral_right.png,the face's eyes or mouth lie outside the picture",
            "Rafd180_01_Caucasian_female_happy_frontal.png,no face is found",
            "Rafd090_03_Caucasian_male_hungry_left.jpg,\"'hungry' in its name is no expression: angry, contemptuous, \
             disgusted, fearful, happy, neutral, sad, surprised\"",
        ]
    );
    for line in [
        "7 squares of 128 px in ",
        ": 3 people, 3 expressions",
        "4 photos skipped, listed in ",
        "  1: no face is found",
        "1 photo with several faces, of which the largest was taken",
        "2 files without a RaFD name passed over",
        "train on them with: moue train --data ",
    ] {
        assert!(stderr.contains(line), "'{line}' is not in\n{stderr}");
    }
    let squares = rows[1..].iter().map(|row| row.split(',').next().unwrap().to_string());
    let others = ["manifest.csv", "prepare.jsonl", "prepare.lock", "skipped.csv"].map(String::from);
    let mut expected: Vec<String> = squares.chain(others).collect();
    expected.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
    assert_eq!(names(out), expected);
}

#[test]
fn the_eyes_lie_where_the_networks_expect_them() {
    let (_, out, _) = prepared();
    let finder = Finder::new(&device("cpu").unwrap());
    let squares: Vec<String> = names(out).into_iter().filter(|name| name.ends_with(".png")).collect();
    assert_eq!(squares.len(), 7);
    for name in squares {
        let square = image::read(&out.join(&name)).unwrap();
        assert_eq!(square.dimensions(), (128, 128));
        let face = finder.find(&square).into_iter().next().expect("the face is found again");
        let [x, y] = [0, 1].map(|axis| (face.left_eye[axis] + face.right_eye[axis]) / 2.0 / 128.0);
        let distance = face.eye_distance() / 128.0;
        let near = |value: f64, expected: f64| (value - expected).abs() <= 0.03;
        assert!(near(x, 0.5) && near(y, 0.42) && near(distance, 0.25), "{name}: {x} {y} {distance}");
        assert!(face.roll_degrees().abs() < 5.0, "{name}: {}", face.roll_degrees());
    }
}

#[test]
fn a_second_run_writes_nothing_and_other_settings_all() {
    let (source, first, _) = prepared();
    let folder = temporary();
    let out = folder.path().join("out");
    for (name, bytes) in files(first) {
        fs::create_dir_all(out.join(&name).parent().unwrap()).unwrap();
        fs::write(out.join(&name), bytes).unwrap();
    }
    let before = modified(&out);
    let again = outcome(moue(&command(source, &out, "")));
    assert!(again.stderr.contains("done before: 10 photos"), "{}", again.stderr);
    assert_eq!((again.code, modified(&out)), (Some(0), before));
    assert!(results(&out) == results(first));

    // The subset needs no photo done again.
    let paper = outcome(moue(&command(source, &out, "--subset paper")));
    for line in [
        "done before: 9 photos",
        "the paper's 1,608 photos: 9 found, 1 other photo left out",
        "missing:",
        "  every photo of 62 people (03, 05, 08, 09, 10, 11, ",
        "  angry of everybody",
        "  of person 01: happy (gaze left, right), neutral, sad (gaze left, right)",
    ] {
        assert!(paper.stderr.contains(line), "'{line}' is not in\n{}", paper.stderr);
    }
    assert!(!fs::read_to_string(out.join("skipped.csv")).unwrap().contains("Rafd180"));

    let photo = source.join("deep/01/Rafd090_01_Caucasian_female_happy_frontal.jpg");
    let one = folder.path().join("one");
    fs::create_dir(&one).unwrap();
    fs::copy(photo, one.join("Rafd090_01_Caucasian_female_happy_frontal.jpg")).unwrap();
    // Another source has no place where one was prepared.
    fail(&command(&one, &out, "--quiet"), "it holds what was prepared from", "--out");
    assert!(results(&out).len() > 2);
    let out = folder.path().join("other");
    let square = out.join("Rafd090_01_Caucasian_female_happy_frontal.png");
    succeed(&command(&one, &out, "--quiet --size 32"));
    assert_eq!(image::read(&square).unwrap().dimensions(), (32, 32));
    let again = outcome(moue(&command(&one, &out, "--size 48")));
    assert!(again.stderr.contains(": one person, 1 expression"), "{}", again.stderr);
    assert!(again.stderr.contains("add photos of another expression"), "{}", again.stderr);
    assert_eq!(image::read(&square).unwrap().dimensions(), (48, 48));
}

#[test]
fn threads_change_no_byte() {
    let (source, first, _) = prepared();
    let folder = temporary();
    let out = folder.path().join("out");
    let quiet = outcome(moue(&command(source, &out, "--threads 1 --quiet")));
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    assert!(results(&out) == results(first));
}

/// Starts a preparation and waits for its first square.
fn started(source: &Path, out: &Path) -> Child {
    let mut command = moue(&command(source, out, "--threads 1"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let square = out.join("deep/01/Rafd090_01_Caucasian_female_happy_frontal.png");
    wait_until(&mut child, "a square", || square.exists());
    child
}

/// No photo's square is there in part, and no table of a part.
fn assert_nothing_half(out: &Path) {
    assert!(!out.join("manifest.csv").exists() && !out.join("skipped.csv").exists());
    for name in names(out).iter().filter(|name| name.ends_with(".png")) {
        assert_eq!(image::read(&out.join(name)).unwrap().dimensions(), (128, 128), "{name}");
    }
}

#[cfg(unix)]
fn send(signal: &str, child: &Child) {
    let kill = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status();
    assert!(kill.unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let (source, first, _) = prepared();
    let folder = temporary();
    let out = folder.path().join("out");
    let mut child = started(source, &out);
    send("STOP", &child);
    fail(&command(source, &out, ""), "another process is preparing", "wait for it");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was killed, not done");
    assert_nothing_half(&out);
    let again = outcome(moue(&command(source, &out, "")));
    assert!(again.stderr.contains("done before: "), "{}", again.stderr);
    assert!(results(&out) == results(first));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_in_order_and_the_same_command_goes_on() {
    let (source, first, _) = prepared();
    for signal in ["INT", "TERM"] {
        let folder = temporary();
        let out = folder.path().join("out");
        let child = started(source, &out);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("stopping after the photos at hand"), "{stderr}");
        assert!(stderr.contains("of 10 photos to do"), "{stderr}");
        assert!(stderr.contains("hint: the same command goes on from there"), "{stderr}");
        assert_nothing_half(&out);
        assert!(names(&out).iter().all(|name| !name.contains(".partial")));
        succeed(&command(source, &out, ""));
        assert!(results(&out) == results(first));
    }
}

#[test]
fn train_takes_the_result_as_it_is() {
    let (_, out, _) = prepared();
    let folder = temporary();
    let run = folder.path().join("run");
    let train = "train --preset moue-smoke --set training.iterations=2";
    succeed(&format!("{train} --data {} --out {}", out.display(), run.display()));
    assert!(run.join("checkpoints/step-000002/state.json").exists());
    let split = fs::read_to_string(run.join("split.toml")).unwrap();
    assert!(split.contains("by = \"identity\""), "{split}");
}

#[test]
fn tables_and_folders_are_prepared_and_spare_columns_kept() {
    let folder = temporary();
    let (photos, table) = (folder.path().join("photos"), folder.path().join("list.csv"));
    write_photo(&photos.join("sad/anna/a.png"), "010_sad_frontal.jpg", (300, 0.5), 0.0, 0.0);
    write_photo(&photos.join("happy/anna/a.png"), "010_happy_frontal.jpg", (300, 0.5), 0.0, 0.0);
    fs::write(
        &table,
        "mood,file,expression\n\"good, very\",photos/happy/anna/a.png,Happiness\n,photos/none.png,sad\n\
         ,photos/sad/anna/a.png,sad\n",
    )
    .unwrap();
    let out = folder.path().join("table");
    let printed: serde_json::Value =
        serde_json::from_str(&succeed(&command(&table, &out, "--json"))).unwrap();
    let numbers =
        ["squares", "size", "expressions", "skipped", "people"].map(|key| printed[key].as_u64().unwrap());
    assert_eq!(numbers, [2, 128, 2, 1, 0]);
    assert_eq!(printed["reasons"]["the file cannot be read"], 1, "{printed}");
    assert_eq!(printed["enlarged"], 0, "{printed}");
    assert_eq!(
        fs::read_to_string(printed["manifest"].as_str().unwrap()).unwrap(),
        "file,identity,expression,gaze,mood\nphotos/happy/anna/a.png,,happy,,\"good, very\"\n\
         photos/sad/anna/a.png,,sad,,\n"
    );
    let out = folder.path().join("folders");
    let said = outcome(moue(&command(&photos, &out, "--size 200")));
    assert!(said.stderr.contains("2 faces enlarged, being smaller"), "{}", said.stderr);
    assert_eq!(
        fs::read_to_string(out.join("manifest.csv")).unwrap(),
        "file,identity,expression,gaze\nhappy/anna/a.png,anna,happy,\nsad/anna/a.png,anna,sad,\n"
    );
}

#[test]
fn what_cannot_be_prepared_is_named_with_the_remedy() {
    let folder = temporary();
    let path = |name: &str| folder.path().join(name);
    let source = path("photos");
    for name in ["happy/a.jpg", "sad/b.jpg"] {
        fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
        fs::write(source.join(name), "no image").unwrap();
    }
    fs::create_dir_all(path("empty")).unwrap();
    fs::create_dir_all(path("flat")).unwrap();
    fs::copy(face("006_sad_frontal.jpg"), path("flat/a.jpg")).unwrap();
    fs::write(path("columns.csv"), "file,label\nflat/a.jpg,sad\n").unwrap();
    fs::write(path("hungry.csv"), "file,expression\nflat/a.jpg,hungry\n").unwrap();
    fs::write(path("missing.csv"), "file,expression\nb.jpg,sad\n").unwrap();
    fs::write(path("file"), "in the way").unwrap();
    let before = files(folder.path());
    let out = path("out");
    let scheme = "Rafd090_01_Caucasian_female_angry_frontal.jpg";
    for (source, out, more, problem, remedy) in [
        ("none", "out", "", "cannot read", "typing error"),
        ("empty", "out", "", "holds no images", scheme),
        ("empty", "out", "--format rafd", "no image", scheme),
        ("flat", "out", "", "images lie directly in this folder", scheme),
        ("flat", "out", "--format rafd", "none of its 1 images is named as RaFD's", scheme),
        ("photos", "out", "--format rafd", "none of its 2 images is named as RaFD's", scheme),
        ("photos", "out", "--format csv", "no manifest.csv", "name the table"),
        ("photos", "out", "--subset paper", "only RaFD's file names", "--format rafd"),
        ("columns.csv", "out", "", "no column 'expression'", "found there: file, label"),
        ("hungry.csv", "out", "", "line 2: 'hungry' is no expression", "surprised"),
        ("missing.csv", "out", "", "1 of 1 files named in it do not exist", "relative to"),
        ("file", "out", "--format folders", "this is a file", "name the folder"),
        ("photos", "photos", "", "inside of the source", "--out"),
        ("photos", "photos/new/out", "", "inside of the source", "--out"),
        ("photos", "flat", "", "the folder is not empty (it holds a.jpg)", "--out"),
        ("photos", "file", "", "cannot write", "--out"),
        ("photos", "file/below", "", "cannot write", "--out"),
    ] {
        fail(&command(&path(source), &path(out), more), problem, remedy);
        assert!(files(folder.path()) == before, "nothing is written or lost: {source} {out} {more}");
    }
    if cfg!(target_os = "linux") {
        fail(&command(&source, Path::new("/proc/moue"), ""), "cannot write /proc/moue", "--out");
    }
    let problem = "no face could be cut out of its 2 photos (2: this is no image that can be read)";
    fail(&command(&source, &out, ""), problem, "skipped.csv");
    assert_eq!(names(&out), ["prepare.jsonl", "prepare.lock", "skipped.csv"]);
    assert_eq!(outcome(moue("prepare photos --out out --size 8")).code, Some(2));
    assert_eq!(outcome(moue("prepare photos")).code, Some(2));
}
