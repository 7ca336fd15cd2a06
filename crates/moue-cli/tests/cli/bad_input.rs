//! Bad input to everything but training: one error with the remedy, and nothing written or lost.

use std::fs;
use std::path::Path;

use crate::program::{face, fail, files, moue, names, outcome, repository, run, succeed, temporary};

/// Translates `input` with the shared run into `folder/out`; fails and leaves no output. Beside a good face it is the
/// only one that is left out.
fn fail_to_translate(input: &Path, folder: &Path, problem: &str, remedy: &str) {
    let (out, sheet) = (folder.join("out"), folder.join("sheet.png"));
    let translate = format!(
        "--model {} --to happy --aligned --out {} --grid {}",
        run().display(),
        out.display(),
        sheet.display()
    );
    fail(&format!("translate {} {translate}", input.display()), problem, remedy);
    assert!(!sheet.exists() && !out.exists(), "not even a folder is left");
    if input.is_file() {
        let good = face("006_neutral_frontal.jpg");
        fail(&format!("translate {} {} {translate}", input.display(), good.display()), problem, remedy);
        assert_eq!(names(&out), ["006_neutral_frontal_happy.png"]);
        assert!(sheet.exists());
        fs::remove_file(sheet).unwrap();
        fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn what_is_no_image_is_named() {
    let folder = temporary();
    let path = |name| folder.path().join(name);
    let image = moue::base::image::read(&face("006_happy_frontal.jpg")).unwrap();
    moue::base::image::write_png(&moue::base::file::FileSystem, &path("whole.png"), &image).unwrap();
    let bytes = fs::read(path("whole.png")).unwrap();
    fs::write(path("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    let jpeg = fs::read(face("006_happy_frontal.jpg")).unwrap();
    fs::write(path("cut.jpg"), &jpeg[..jpeg.len() * 9 / 10]).unwrap();
    fs::write(path("head.jpg"), &jpeg[..40]).unwrap();
    fs::write(path("text.jpg"), "this is a text").unwrap();
    fs::write(path("empty.png"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    for (name, problem) in [
        ("cut.png", "the image is damaged"),
        ("cut.jpg", "the image is damaged (the file is cut off)"),
        ("head.jpg", "the image is damaged"),
        ("text.jpg", "this is no image that can be read"),
        ("empty.png", "the file is empty"),
    ] {
        fail_to_translate(&path(name), folder.path(), &format!("{name}: {problem}"), "");
    }
    fail_to_translate(&path("none.png"), folder.path(), "none.png", "typing error");
    fail_to_translate(&path("text.jpg/inside.png"), folder.path(), "inside.png", "typing error");
    fail_to_translate(&path("folder"), folder.path(), "the folder holds no image", "folder of face images");
}

#[test]
fn an_input_is_never_overwritten() {
    let folder = temporary();
    let path = |name| folder.path().join(name);
    fs::copy(face("006_neutral_frontal.jpg"), path("a.jpg")).unwrap();
    fs::copy(face("006_happy_frontal.jpg"), path("a_happy.png")).unwrap();
    fs::copy(face("006_happy_frontal.jpg"), path("a.png")).unwrap();
    let before = files(folder.path());
    let (folder_name, model) = (folder.path().display(), run().display());
    for (arguments, problem) in [
        (format!("{folder_name}/a.jpg {folder_name}/a_happy.png --out {folder_name}"), "overwrite an input"),
        (format!("{folder_name}/a.jpg --grid {folder_name}/a.jpg"), "overwrite an input"),
        (format!("{folder_name}/a.jpg {folder_name}/a.jpg --out {folder_name}"), "overwrite another result"),
        (format!("{folder_name}/a.jpg --out {folder_name} --grid {folder_name}/a_sad.png"), "another result"),
    ] {
        fail(&format!("translate --aligned --model {model} --to happy,sad {arguments}"), problem, "--out");
        assert!(files(folder.path()) == before, "nothing is written or lost: {arguments}");
    }
}

#[test]
fn what_is_no_model_is_named() {
    let folder = temporary();
    let path = |name| folder.path().join(name);
    succeed(&format!("export {} --out {}", run().display(), path("whole.safetensors").display()));
    let whole = fs::read(path("whole.safetensors")).unwrap();
    fs::write(path("cut.safetensors"), &whole[..whole.len() - 100]).unwrap();
    fs::write(path("header.safetensors"), &whole[..20]).unwrap();
    fs::write(path("text.safetensors"), "these are no weights").unwrap();
    fs::write(path("empty.safetensors"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    let golden = repository("golden");
    let cases = [
        (path("cut.safetensors"), "no safetensors file", "copy it again"),
        (path("header.safetensors"), "no safetensors file", "copy it again"),
        (path("text.safetensors"), "no safetensors file", "copy it again"),
        (path("empty.safetensors"), "no safetensors file", "copy it again"),
        (face("006_happy_frontal.jpg"), "no safetensors file", "copy it again"),
        (golden.join("stargan.safetensors"), "does not say which method", "moue export"),
        (golden.join("stargan-G.ckpt"), "PyTorch checkpoint", "moue import"),
        (path("none"), "cannot read", "typing error"),
        (path("folder"), "no checkpoint", "folder"),
    ];
    for (model, problem, remedy) in cases {
        let input = face("006_neutral_frontal.jpg");
        let (input, model, out) = (input.display(), model.display(), path("out"));
        fail(
            &format!("translate {input} --aligned --model {model} --out {}", out.display()),
            problem,
            remedy,
        );
        fail(&format!("info {model}"), problem, remedy);
        fail(&format!("export {model} --out {}", out.display()), problem, remedy);
        assert!(!out.exists());
    }
    for checkpoint in [path("text.safetensors"), face("006_happy_frontal.jpg"), path("empty.safetensors")] {
        let arguments = format!("import {} --out {}", checkpoint.display(), path("out").display());
        fail(&arguments, "no PyTorch checkpoint", "torch.save");
    }
    let arguments = format!("import {} --out {}", path("none").display(), path("out").display());
    fail(&arguments, "cannot read", "typing error");
    let checkpoint = golden.join("stargan-G.ckpt");
    let arguments =
        format!("import {} --image-size 30 --out {}", checkpoint.display(), path("out").display());
    fail(&arguments, "30 px", "multiple of 4");
    assert!(!path("out").exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = temporary();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let input = face("006_neutral_frontal.jpg");
    let translate = format!("translate {} --aligned --model {} --to sad", input.display(), run().display());
    let export = format!("export {}", run().display());
    let import = format!("import {} --image-size 32", repository("golden/stargan-G.ckpt").display());
    let file = file.display();
    for (arguments, problem) in [
        (format!("{translate} --out {file}/below"), "cannot write"),
        (format!("{translate} --out {file}"), "cannot write"),
        (format!("{translate} --grid {file}/below/sheet.png"), "cannot write"),
        (format!("{translate} --grid {}", folder.path().display()), "cannot write"),
        (format!("{export} --out {file}/model.safetensors"), "cannot write"),
        (format!("{export} --out {}", folder.path().display()), "cannot write"),
        (format!("{import} --out {file}/model.safetensors"), "cannot write"),
    ] {
        fail(&arguments, problem, "--out");
        assert_eq!(names(folder.path()), ["file"]);
    }
    if cfg!(target_os = "linux") {
        fail(&format!("{translate} --out /proc/moue"), "cannot write /proc/moue", "--out");
    }
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"in the way");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_this_build_lacks_is_named() {
    let folder = temporary();
    let input = face("006_neutral_frontal.jpg");
    let (input, out) = (input.display(), folder.path().join("out"));
    let translate =
        format!("translate {input} --aligned --model {} --out {}", run().display(), out.display());
    fail(&format!("{translate} --device cuda:0"), "built without CUDA", "--features cuda");
    fail(&format!("{translate} --device gpu"), "no device 'gpu'", "cuda:0");
    assert!(!out.exists());
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_right() {
    let folder = temporary();
    for (arguments, words) in [
        ("translate a.jpg --to merry", &["merry", "surprised"][..]),
        ("translate", &["PHOTO"]),
        ("train --threads 0", &["0"]),
        ("translate face.jpg --to happy --threads 65535", &["65535", "1..=1024"]),
        ("train --resume a --out b", &["--resume"]),
        ("train --resume a --preset small", &["--preset"]),
        ("trian", &["train"]),
        ("translate a.jpg --gird x.png", &["--grid"]),
    ] {
        let mut command = moue(arguments);
        command.current_dir(folder.path());
        let outcome = outcome(command);
        assert_eq!(outcome.code, Some(2), "{arguments}\n{}", outcome.stderr);
        assert!(words.iter().all(|word| outcome.stderr.contains(word)), "{}", outcome.stderr);
    }
    assert_eq!(names(folder.path()).len(), 0);
}
