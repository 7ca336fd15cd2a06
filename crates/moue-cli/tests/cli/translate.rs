//! Translating face squares: which files, of which size, with which bytes. Photos: see photos.rs.

use std::fs;
use std::path::Path;

use moue::base::expression::Expression;
use moue::base::image;

use crate::program::{face, files, names, repository, run, succeed, temporary};

/// The names of all of a face's results.
fn all_of(stem: &str) -> Vec<String> {
    Expression::ALL.iter().map(|expression| format!("{stem}_{expression}.png")).collect()
}

fn translate(arguments: &str) -> String {
    succeed(&format!("translate --aligned --model {} {arguments}", run().display()))
}

#[test]
fn a_face_gets_a_file_for_each_expression_and_nothing_else() {
    let out = temporary();
    let path = out.path().join("new/results");
    let stdout =
        translate(&format!("{} --out {}", face("006_neutral_frontal.jpg").display(), path.display()));
    assert_eq!(stdout, "", "stdout is for results that were asked for");
    assert_eq!(names(&path), all_of("006_neutral_frontal"));
    for file in files(&path).into_keys() {
        assert_eq!(image::read(&path.join(file)).unwrap().dimensions(), (256, 256), "the input's size");
    }
}

#[test]
fn the_output_has_the_input_s_size_and_its_own_pixels_beside_the_square() {
    let folder = temporary();
    let wide = repository("assets/faces/../portraits/elder.jpg");
    let small = folder.path().join("small.png");
    let image = image::square(image::read(&face("010_sad_frontal.jpg")).unwrap(), 16);
    image::write_png(&moue::base::file::FileSystem, &small, &image).unwrap();
    let out = folder.path().join("out");
    translate(&format!("{} {} --to happy --out {}", wide.display(), small.display(), out.display()));
    assert_eq!(names(&out), ["elder_happy.png", "small_happy.png"]);
    let size = |path: &Path| image::read(path).unwrap().dimensions();
    assert_eq!(size(&out.join("elder_happy.png")), size(&wide));
    assert_eq!(size(&out.join("small_happy.png")), (16, 16));
}

#[test]
fn the_expressions_that_were_asked_for_are_made() {
    let out = temporary();
    let input = face("010_neutral_frontal.jpg");
    translate(&format!("{} --to happy,SAD,happy --out {}", input.display(), out.path().display()));
    assert_eq!(names(out.path()), ["010_neutral_frontal_happy.png", "010_neutral_frontal_sad.png"]);
}

#[test]
fn a_sheet_alone_writes_only_the_sheet() {
    let folder = temporary();
    let sheet = folder.path().join("deep/sheet.png");
    let inputs = [face("006_neutral_frontal.jpg"), face("010_neutral_frontal.jpg")];
    let mut command = crate::program::moue(&format!(
        "translate --aligned --model {} {} {} --to angry,happy --grid {}",
        run().display(),
        inputs[0].display(),
        inputs[1].display(),
        sheet.display()
    ));
    command.current_dir(folder.path());
    assert_eq!(crate::program::outcome(command).code, Some(0));
    assert_eq!(names(folder.path()), ["deep/sheet.png"]);
    assert_eq!(image::read(&sheet).unwrap().dimensions(), (3 * 256 + 2 * 2, 2 * 256 + 2));
}

#[test]
fn a_sheet_may_come_beside_the_files() {
    let folder = temporary();
    let input = face("006_neutral_frontal.jpg");
    let path = folder.path().display();
    translate(&format!("{} --to sad --out {path}/out --grid {path}/sheet.png", input.display()));
    assert_eq!(names(folder.path()), ["out/006_neutral_frontal_sad.png", "sheet.png"]);
}

#[test]
fn without_an_output_s_name_results_go_to_moue_out() {
    let folder = temporary();
    let input = face("006_neutral_frontal.jpg");
    let mut command = crate::program::moue(&format!(
        "translate --aligned --model {} {} --to sad",
        run().display(),
        input.display()
    ));
    command.current_dir(folder.path());
    assert_eq!(crate::program::outcome(command).code, Some(0));
    assert_eq!(names(folder.path()), ["moue-out/006_neutral_frontal_sad.png"]);
}

#[test]
fn a_folder_is_translated_and_equal_stems_keep_their_folders() {
    let folder = temporary();
    let input = folder.path().join("in");
    for name in ["a/x.jpg", "b/deep/x.jpg", "b/y.jpg"] {
        fs::create_dir_all(input.join(name).parent().unwrap()).unwrap();
        fs::copy(face("024_angry_frontal.jpg"), input.join(name)).unwrap();
    }
    fs::write(input.join("notes.txt"), "no image, and passed over").unwrap();
    let out = folder.path().join("out");
    translate(&format!("{} --to happy --out {}", input.display(), out.display()));
    assert_eq!(names(&out), ["a/x_happy.png", "b/deep/x_happy.png", "manifest.csv", "y_happy.png"]);
}

#[test]
fn json_names_every_result() {
    let out = temporary();
    let inputs = [face("006_neutral_frontal.jpg"), face("010_neutral_frontal.jpg")];
    let [first, second] = &inputs;
    let stdout = translate(&format!(
        "{} {} --to happy,sad --json --out {}",
        first.display(),
        second.display(),
        out.path().display()
    ));
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(lines.len(), 2);
    for (line, input) in lines.iter().zip(&inputs) {
        assert_eq!(line["input"], input.to_str().unwrap());
        let results = line["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert!(results.iter().all(|path| Path::new(path.as_str().unwrap()).exists()));
    }
}

#[test]
fn the_same_command_gives_the_same_bytes_at_any_number_of_threads() {
    let folder = temporary();
    let input = face("029_neutral_frontal.jpg");
    let (mut results, mut sheets) = (Vec::new(), Vec::new());
    for (n, threads) in
        ["", "--threads 1", "--threads 2", "--threads 2 --batch-size 3"].into_iter().enumerate()
    {
        let out = folder.path().join(n.to_string());
        let sheet = folder.path().join(format!("{n}.png"));
        translate(&format!(
            "{} {threads} --out {} --grid {}",
            input.display(),
            out.display(),
            sheet.display()
        ));
        results.push(files(&out));
        sheets.push(fs::read(sheet).unwrap());
    }
    assert!(results.iter().all(|files| *files == results[0]));
    assert!(sheets.iter().all(|sheet| *sheet == sheets[0]));
}

#[test]
fn raw_weights_are_the_default_and_the_average_is_another() {
    let folder = temporary();
    let input = face("029_neutral_frontal.jpg");
    let results = ["", "--weights raw", "--weights average"].map(|weights| {
        let out = folder.path().join(format!("out{weights}").replace(' ', ""));
        translate(&format!("{} {weights} --to happy --out {}", input.display(), out.display()));
        files(&out)
    });
    assert_eq!(results[0], results[1]);
    assert_ne!(results[0], results[2]);
}
