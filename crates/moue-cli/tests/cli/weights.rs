//! Weights go out and in: export, import, info.

use std::fs;

use crate::program::{face, files, repository, run, succeed, temporary};

#[test]
fn an_exported_model_translates_as_the_run_does() {
    let folder = temporary();
    let input = face("006_neutral_frontal.jpg");
    let translate = |model: &str, name: &str| {
        let out = folder.path().join(name);
        succeed(&format!(
            "translate {} --aligned --no-mark --model {model} --to happy --out {}",
            input.display(),
            out.display()
        ));
        files(&out)
    };
    let file = folder.path().join("model.safetensors").display().to_string();
    succeed(&format!("export {} --out {file}", run().display()));
    let of_run = translate(&run().display().to_string(), "run");
    assert_eq!(translate(&file, "file"), of_run);
    assert_eq!(translate(&run().join("checkpoints/step-000012").display().to_string(), "checkpoint"), of_run);
    assert_ne!(translate(&run().join("checkpoints/step-000006").display().to_string(), "older"), of_run);

    let half = folder.path().join("half.safetensors").display().to_string();
    succeed(&format!("export {} --half --out {half}", run().display()));
    let [full_size, half_size] = [&file, &half].map(|path| fs::metadata(path).unwrap().len());
    assert!(half_size < full_size * 6 / 10, "{half_size} of {full_size} bytes");
    assert_eq!(translate(&half, "half").len(), 1);
    let again = folder.path().join("again.safetensors").display().to_string();
    succeed(&format!("export {} --half --out {again}", run().display()));
    assert_eq!(fs::read(half).unwrap(), fs::read(again).unwrap());
}

#[test]
fn info_says_what_a_run_a_checkpoint_and_a_file_hold() {
    let folder = temporary();
    let file = folder.path().join("model.safetensors");
    succeed(&format!("export {} --weights average --out {}", run().display(), file.display()));
    let text = succeed(&format!("info {}", run().display()));
    for word in
        ["sasn at 16 px", "raw", "faces, 12 batches", "generator 12", "discriminator 12", "stem.weight"]
    {
        assert!(text.contains(word), "'{word}' is not in\n{text}");
    }
    assert!(
        succeed(&format!("info {}", run().join("checkpoints/step-000006").display())).contains("6 batches")
    );
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&format!("info {} --json", file.display()))).unwrap();
    assert_eq!(json["card"]["weights"], "average");
    assert_eq!(json["card"]["method"]["name"], "sasn");
    assert_eq!(json["tensors"]["stem.weight"], serde_json::json!([4, 11, 7, 7]));
    assert!(json["parameters"].as_u64().unwrap() > 10_000);
}

#[test]
fn a_pytorch_checkpoint_is_imported_and_translates() {
    let folder = temporary();
    let [file, out] = ["stargan.safetensors", "out"].map(|name| folder.path().join(name));
    let checkpoint = repository("golden/stargan-G.ckpt");
    succeed(&format!("import {} --image-size 32 --out {}", checkpoint.display(), file.display()));
    assert!(succeed(&format!("info {}", file.display())).contains("stargan at 32 px"));
    let input = face("006_neutral_frontal.jpg");
    succeed(&format!(
        "translate {} --model {} --to happy --out {}",
        input.display(),
        file.display(),
        out.display()
    ));
    assert_eq!(files(&out).len(), 1);
}

#[test]
fn an_attgan_checkpoint_is_imported_and_translates() {
    let folder = temporary();
    let [file, out] = ["attgan.safetensors", "out"].map(|name| folder.path().join(name));
    let checkpoint = repository("golden/attgan-weights.pth");
    succeed(&format!("import {} --image-size 32 --out {}", checkpoint.display(), file.display()));
    assert!(succeed(&format!("info {}", file.display())).contains("attgan at 32 px"));
    let input = face("006_neutral_frontal.jpg");
    let [input, file, out] = [&input, &file, &out].map(|path| path.display());
    succeed(&format!("translate {input} --model {file} --to happy,sad --out {out}"));
    assert_eq!(files(&folder.path().join("out")).len(), 2);
}
