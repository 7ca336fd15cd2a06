//! Methods whose network knows one way: trained one by one or as a set, used as one model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use crate::program::{
    assert_equal_checkpoints, face, faces, fail, files, moue, names, outcome, repository, succeed, temporary,
    wait_until,
};

/// Settings of a training that takes a second: 4 batches of one, checkpoints at 2 and 4.
const TINY: &str = "--set training.iterations=4 --set output.log_every=1 --set output.sample_every=2 \
     --set output.checkpoint_every=2 --set output.keep_every=2 --set method.channels=4 \
     --set method.discriminator_channels=4";

/// A finished set of pix2pix with a network for each expression but neutral. Tests share it and only read.
fn set() -> &'static Path {
    static SET: OnceLock<PathBuf> = OnceLock::new();
    SET.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared-set");
        let _ = fs::remove_dir_all(&path);
        succeed(&format!(
            "train --preset pix2pix-smoke {TINY} --target all --data {} --out {}",
            faces(),
            path.display()
        ));
        path
    })
}

/// A neutral face at the size of the networks.
fn small_face(folder: &Path) -> PathBuf {
    let path = folder.join("face.png");
    let image = moue::base::image::read(&face("006_neutral_frontal.jpg")).unwrap();
    let image = moue::base::image::square(image, 32);
    moue::base::image::write_png(&moue::base::file::FileSystem, &path, &image).unwrap();
    path
}

fn pixels(path: &Path) -> Vec<u8> {
    moue::base::image::read(path).unwrap().into_raw()
}

#[test]
fn a_set_s_summary_is_that_of_its_runs() {
    let of = |path: &Path| succeed(&format!("summary {}", path.display()));
    assert_eq!(of(set()), of(&set().join("happy")));
}

#[test]
fn a_set_is_a_run_for_each_target_in_one_folder() {
    let mut entries: Vec<String> =
        fs::read_dir(set()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    entries.sort_unstable();
    let targets = ["angry", "contemptuous", "disgusted", "fearful", "happy", "sad"];
    assert_eq!(entries[..6], targets);
    assert_eq!(entries[6..], ["set.toml", "surprised"]);
    let run = fs::read_to_string(set().join("sad/run.toml")).unwrap();
    assert!(run.contains("target = \"sad\"") && run.contains("pairs = true"), "{run}");
    assert!(set().join("sad/checkpoints/step-000004/state.json").is_file());
    // A sheet has the face, what the network gives, and neutral.
    let sheet = moue::base::image::read(&set().join("sad/samples/step-000004.png")).unwrap();
    assert_eq!(sheet.width(), 3 * 32 + 2 * 2);
}

#[test]
fn a_set_translates_each_face_with_the_network_of_its_target() {
    let folder = temporary();
    let input = small_face(folder.path());
    let translate = |model: &Path, to: &str, out: &str| {
        let out = folder.path().join(out);
        succeed(&format!(
            "translate {} --aligned --no-mark --model {} --to {to} --out {}",
            input.display(),
            model.display(),
            out.display()
        ));
        out
    };
    let all = translate(set(), "all", "all");
    assert_eq!(names(&all).len(), 8);
    for target in ["happy", "sad"] {
        let alone = translate(&set().join(target), target, target);
        let file = format!("face_{target}.png");
        assert_eq!(pixels(&alone.join(&file)), pixels(&all.join(&file)), "{target}");
    }
    assert_ne!(pixels(&all.join("face_happy.png")), pixels(&all.join("face_sad.png")));
    assert_eq!(pixels(&all.join("face_neutral.png")), pixels(&input), "neutral is the source");

    // All that one network gives, and a word on what it does not.
    assert_eq!(names(&translate(&set().join("sad"), "all", "one")), ["face_neutral.png", "face_sad.png"]);
    let arguments = format!("translate {} --aligned --to happy --model", input.display());
    fail(&format!("{arguments} {}", set().join("sad").display()), "no network for happy", "--target all");
    fail(
        &format!("{arguments} {} --weights average", set().display()),
        "keeps no moving average",
        "leave out --weights",
    );

    let file = folder.path().join("set.safetensors");
    succeed(&format!("export {} --out {}", set().display(), file.display()));
    assert_eq!(files(&translate(&file, "all", "exported")), files(&all));
    let text = succeed(&format!("info {}", file.display()));
    assert!(text.contains("pix2pix at 32 px") && text.contains("gives       angry, contemptuous"), "{text}");
    assert!(text.contains("surprised.model.model.0.weight"), "{text}");
}

#[test]
fn a_set_is_judged_as_one_model_and_a_part_of_one_on_what_it_gives() {
    let folder = temporary();
    let judge = |model: &Path| {
        let mut command = moue(&format!("evaluate {} --size 64 --draws 20", model.display()));
        command.env("MOUE_OFFLINE", "1").env_remove("MOUE_WEIGHTS");
        command.env("XDG_CACHE_HOME", folder.path().join("cache"));
        outcome(command)
    };
    // A copy, for scores are kept with the set.
    let place = folder.path().join("a-set");
    for (name, bytes) in files(set()) {
        fs::create_dir_all(place.join(&name).parent().unwrap()).unwrap();
        fs::write(place.join(name), bytes).unwrap();
    }
    let judged = judge(&place);
    assert_eq!(judged.code, Some(0), "{}", judged.stderr);
    assert!(judged.stdout.contains("a-set") && judged.stdout.contains("112 results"), "{}", judged.stdout);
    let scores = fs::read_to_string(place.join("scores.jsonl")).unwrap();
    assert!(scores.contains("\"a-set\""));
    let part = judge(&place.join("sad"));
    assert_eq!(part.code, Some(0), "{}", part.stderr);
    assert!(
        part.stdout.contains(
            "Left out: angry, contemptuous, disgusted, fearful, happy, surprised: not given by sad."
        ),
        "{}",
        part.stdout
    );
    // Two people, from neutral to sad and back.
    assert!(
        part.stdout.contains("4 results") && !part.stdout.contains("sad, surprised: not"),
        "{}",
        part.stdout
    );
}

#[test]
fn a_killed_set_goes_on_where_it_was_and_ends_bit_equal() {
    let folder = temporary();
    let settings = format!("--preset cyclegan-smoke {TINY} --target sad,happy --data {}", faces());
    let settings = settings.replace("iterations=4", "iterations=16");
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    succeed(&format!("train {settings} --out {}", whole.display()));
    let mut child = moue(&format!("train {settings} --out {}", killed.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = killed.join("happy/events.jsonl");
    let logged =
        || fs::read_to_string(&log).is_ok_and(|log| log.contains("\"event\":\"step\",\"iteration\":3,"));
    wait_until(&mut child, "the second run's third batch", logged);
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = outcome(moue(&format!("train --resume {}", killed.display())));
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(
        resumed.stderr.contains("trained already") && resumed.stderr.contains("run 2 of 2"),
        "{}",
        resumed.stderr
    );
    for target in ["sad", "happy"] {
        assert_equal_checkpoints(&killed.join(target), &whole.join(target));
    }
    let again = outcome(moue(&format!("train --resume {}", killed.display())));
    assert_eq!(again.stderr.matches("trained already").count(), 2, "{}", again.stderr);
    fail(&format!("train {settings} --out {}", killed.display()), "the folder is not empty", "--resume");
}

/// A folder of classes with two faces each, of nobody who is named.
fn classes(root: &Path, names: &[&str]) {
    for class in names {
        fs::create_dir_all(root.join(class)).unwrap();
        for person in ["006", "010"] {
            let file = root.join(class).join(format!("{person}.jpg"));
            fs::copy(face(&format!("{person}_{class}_frontal.jpg")), file).unwrap();
        }
    }
}

#[test]
fn cyclegan_needs_nobody_s_name_and_gives_neutral_faces_too() {
    let folder = temporary();
    let [data, out, results] = ["data", "run", "results"].map(|name| folder.path().join(name));
    classes(&data, &["neutral", "happy"]);
    succeed(&format!(
        "train --preset cyclegan-smoke {TINY} --data {} --out {}",
        data.display(),
        out.display()
    ));
    let input = small_face(folder.path());
    succeed(&format!(
        "translate {} --aligned --model {} --out {}",
        input.display(),
        out.display(),
        results.display()
    ));
    assert_eq!(names(&results), ["face_happy.png", "face_neutral.png"]);
    assert_ne!(pixels(&results.join("face_neutral.png")), pixels(&input));
}

#[test]
fn what_one_way_networks_need_is_said_before_anything_is_made() {
    let folder = temporary();
    let [data, out] = ["data", "run"].map(|name| folder.path().join(name));
    classes(&data, &["neutral", "happy"]);
    let rest = format!("{TINY} --data {} --out {}", data.display(), out.display());
    let named = format!("{TINY} --data {} --out {}", faces(), out.display());
    for (arguments, problem, remedy) in [
        (format!("--preset pix2pix-smoke {rest}"), "does not say who is who", "identity"),
        (format!("--preset pix2pix-smoke --target happy {rest}"), "does not say who is who", "identity"),
        (format!("--preset cyclegan-smoke --target happy,sad {rest}"), "there is no sad face", "--target"),
        (format!("--preset cyclegan-smoke --target neutral {named}"), "neutral is what the sources", "happy"),
        (format!("--preset stargan-smoke --target sad {named}"), "one network of stargan", "pix2pix"),
        (format!("--preset pix2pix-smoke --set training.pairs=false {named}"), "pairs", "learns"),
    ] {
        fail(&format!("train {arguments}"), problem, remedy);
        assert!(!out.exists(), "{arguments}");
    }
    let printed = succeed("train --preset pix2pix --target sad --dry-run");
    assert!(printed.contains("target = \"sad\""), "{printed}");
}

#[test]
fn public_checkpoints_of_one_way_generators_are_imported_and_translate() {
    let folder = temporary();
    let input = small_face(folder.path());
    for checkpoint in ["pix2pix-G.pth", "cyclegan-G_A.pth"] {
        let [file, out] = ["model.safetensors", checkpoint].map(|name| folder.path().join(name));
        let import = format!("import {}", repository("golden").join(checkpoint).display());
        let rest = format!("--image-size 32 --out {}", file.display());
        fail(&format!("{import} {rest}"), "say which with --target", "latest_net_G");
        succeed(&format!("{import} --target surprised {rest}"));
        succeed(&format!(
            "translate {} --aligned --model {} --to surprised --out {}",
            input.display(),
            file.display(),
            out.display()
        ));
        assert_eq!(names(&out), ["face_surprised.png"]);
    }
}
