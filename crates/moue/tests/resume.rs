//! A run that was stopped, ran out of disk or died goes on as if nothing had happened: every file of its checkpoints
//! and every logged loss equals those of a run that was left alone.

#[path = "support/runs.rs"]
mod runs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use moue::base::error::Error;
use moue::base::file::FileSystem;
use moue::methods::{MethodConfig, UpdateRatio};
use moue::run::config::RunConfig;
use moue::run::events::Event;

use runs::{Fault, FaultyDisk, Run, data};

/// Eight batches with a checkpoint every other batch, of which 4 and 8 stay.
fn config(preset: &str) -> RunConfig {
    let mut config = RunConfig::of_preset(preset).unwrap();
    config.data.path = data();
    config.data.name = "faces".to_string();
    config.training.iterations = 8;
    config.output.log_every = 1;
    config.output.sample_every = 4;
    config.output.checkpoint_every = 2;
    config.output.keep_every = 4;
    match &mut config.method {
        MethodConfig::Sasn(method) => {
            (method.image_size, method.channels, method.residual_blocks) = (16, 4, 1);
            (method.discriminator_channels, method.discriminator_layers) = (4, 3);
            method.updates = UpdateRatio { generator: 2, discriminator: 1 };
        }
        MethodConfig::Moue(method) => {
            (method.image_size, method.channels, method.residual_blocks) = (16, 4, 1);
            (method.discriminator_channels, method.discriminator_layers) = (4, 3);
            method.alone = 3;
        }
        MethodConfig::Stargan(method) => {
            (method.image_size, method.channels, method.residual_blocks) = (16, 4, 1);
            (method.discriminator_channels, method.discriminator_layers) = (4, 3);
            method.discriminator_updates = 2;
        }
        MethodConfig::Attgan(method) => {
            (method.image_size, method.channels, method.layers) = (16, 4, 2);
            (method.discriminator_channels, method.discriminator_layers) = (4, 2);
            method.discriminator_head = 8;
        }
        MethodConfig::Pix2pix(method) => {
            // A layer more than the smallest, so that one block has dropout.
            (method.image_size, method.layers, method.channels) = (64, 6, 4);
            method.discriminator_channels = 4;
        }
        MethodConfig::Cyclegan(method) => {
            (method.image_size, method.channels, method.residual_blocks) = (16, 4, 1);
            (method.discriminator_channels, method.discriminator_layers) = (4, 2);
            // Full after three batches of one.
            method.history = 3;
        }
    }
    config
}

/// A run of [`config`] that was left alone.
fn uninterrupted(folder: &Path, preset: &str) -> Run {
    let run = Run::new(folder.join("uninterrupted"), config(preset));
    run.train(&FileSystem, None).unwrap();
    run
}

fn assert_equal(run: &Run, reference: &Run) {
    let (ours, theirs) = (run.checkpoint_files(), reference.checkpoint_files());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, bytes) in &ours {
        assert!(*bytes == theirs[name], "{} differs", name.display());
    }
    assert_eq!(run.steps(), reference.steps());
}

#[test]
fn a_run_stopped_at_any_batch_ends_bit_equal() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "sasn-smoke");
    for stop in [1, 2, 5, 7] {
        let mut run = Run::new(folder.path().join(format!("stopped-{stop}")), config("sasn-smoke"));
        run.workers = 1; // the reference had two
        run.train(&FileSystem, Some(stop)).unwrap();
        assert_eq!(run.newest(), Some(format!("step-{stop:06}")), "a stop ends with a checkpoint");
        run.train(&FileSystem, None).unwrap();
        assert_equal(&run, &reference);
    }
}

#[test]
fn a_run_stopped_twice_ends_bit_equal_with_the_penalty_s_random_draws() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "stargan-smoke");
    let run = Run::new(folder.path().join("stopped"), config("stargan-smoke"));
    run.train(&FileSystem, Some(3)).unwrap();
    run.train(&FileSystem, Some(6)).unwrap();
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}

#[test]
fn a_run_stopped_before_each_player_s_turn_ends_bit_equal_with_running_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "attgan-smoke");
    let run = Run::new(folder.path().join("stopped"), config("attgan-smoke"));
    for stop in [1, 2, 3, 5] {
        run.train(&FileSystem, Some(stop)).unwrap(); // d, dd, ddg, ddgdd
    }
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}

#[test]
fn a_run_on_augmented_pairs_stopped_before_and_after_the_discriminator_joins_ends_bit_equal() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "moue-smoke");
    let run = Run::new(folder.path().join("stopped"), config("moue-smoke"));
    run.train(&FileSystem, Some(2)).unwrap();
    run.train(&FileSystem, Some(5)).unwrap();
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}

#[test]
fn a_run_with_dropout_and_running_statistics_stopped_twice_ends_bit_equal() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "pix2pix-smoke");
    let run = Run::new(folder.path().join("stopped"), config("pix2pix-smoke"));
    run.train(&FileSystem, Some(3)).unwrap();
    run.train(&FileSystem, Some(6)).unwrap();
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}

#[test]
fn a_run_with_a_history_stopped_while_it_fills_and_when_it_is_full_ends_bit_equal() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "cyclegan-smoke");
    let run = Run::new(folder.path().join("stopped"), config("cyclegan-smoke"));
    run.train(&FileSystem, Some(2)).unwrap();
    run.train(&FileSystem, Some(5)).unwrap();
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}

#[test]
fn a_run_stopped_before_its_first_batch_starts_at_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "sasn-smoke");
    let run = Run::new(folder.path().join("stopped"), config("sasn-smoke"));
    run.train(&FileSystem, Some(0)).unwrap();
    assert_eq!(run.newest(), None);
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}

#[test]
fn the_log_has_each_batch_once_and_the_split_names_who_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path().join("run"), config("sasn-smoke"));
    run.train(&FileSystem, Some(3)).unwrap();
    // Batches that were logged after the newest checkpoint will happen again, and a sudden death cuts a line.
    let log = run.path.join("events.jsonl");
    let mut text = fs::read_to_string(&log).unwrap();
    let ended = text.lines().last().unwrap().replace("\"iteration\":3", "\"iteration\":4");
    text.push_str(&format!("{ended}\n{}", &ended[..ended.len() / 2]));
    fs::write(&log, text).unwrap();
    run.train(&FileSystem, None).unwrap();
    let iterations: Vec<_> = run.steps().into_iter().map(|(iteration, ..)| iteration).collect();
    assert_eq!(iterations, (1..=8).collect::<Vec<_>>());
    let events = run.events();
    let started: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Started { iteration, faces, .. } => Some((*iteration, *faces)),
            _ => None,
        })
        .collect();
    assert_eq!(started, [(0, [72, 8, 16]), (3, [72, 8, 16])]);
    assert!(matches!(events.last(), Some(Event::Ended { iteration: 8, complete: true, .. })));

    let split: toml::Table = fs::read_to_string(run.path.join("split.toml")).unwrap().parse().unwrap();
    assert_eq!(split["by"].as_str(), Some("identity"));
    let people = |part: &str| split["identities"][part].as_array().unwrap().clone();
    let (train, validation, test) = (people("train"), people("validation"), people("test"));
    assert_eq!((train.len(), validation.len(), test.len()), (9, 1, 2));
    assert!(test.iter().chain(&validation).all(|person| !train.contains(person)));
}

#[test]
fn a_full_disk_is_named_leaves_the_older_checkpoint_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "sasn-smoke");
    let total = reference.checkpoint_bytes("step-000004");
    for (n, at) in [0, 1, total / 3, total - 1].into_iter().enumerate() {
        let run = Run::new(folder.path().join(format!("full-{n}")), config("sasn-smoke"));
        let disk = FaultyDisk::new(".step-000004.partial", at, Fault::Full);
        let error = run.train(&disk, None).unwrap_err();
        assert!(matches!(&error, Error::Write { path, .. } if path.starts_with(&run.path)), "{error:?}");
        assert!(error.hint().unwrap().contains("free some space"), "{error:?}");
        assert_eq!(
            run.checkpoint_names(),
            ["step-000002"],
            "the older one is there, and nothing half-written"
        );
        run.train(&FileSystem, None).unwrap();
        assert_equal(&run, &reference);
    }
}

/// Where the process that is to die trains, and after how many bytes of a checkpoint it does.
const DIE: [&str; 2] = ["MOUE_TEST_RUN", "MOUE_TEST_DIE_AT"];

#[test]
fn death_inside_a_checkpoint_s_writing_loses_nothing() {
    if let [Some(path), Some(at)] = DIE.map(std::env::var_os) {
        let disk =
            FaultyDisk::new(".step-000006.partial", at.to_str().unwrap().parse().unwrap(), Fault::Death);
        let _ = Run::new(PathBuf::from(path), config("sasn-smoke")).train(&disk, None);
        panic!("it was to die");
    }
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "sasn-smoke");
    let total = reference.checkpoint_bytes("step-000004");
    for at in [0, 100, total / 2, total - 1] {
        let run = Run::new(folder.path().join(format!("death-{at}")), config("sasn-smoke"));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["death_inside_a_checkpoint_s_writing_loses_nothing", "--exact"])
            .env(DIE[0], &run.path)
            .env(DIE[1], at.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(runs::LAST_WORDS), "{:?} {text}", output.status);
        assert_eq!(run.checkpoint_names(), [".step-000006.partial", "step-000004"]);
        // A stop writes another checkpoint than the one that was being written: its remains go all the same.
        run.train(&FileSystem, Some(5)).unwrap();
        assert_eq!(run.checkpoint_names(), ["step-000004", "step-000005"]);
        run.train(&FileSystem, None).unwrap();
        assert_equal(&run, &reference);
    }
}

#[test]
fn a_damaged_newest_checkpoint_is_refused_and_its_removal_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let reference = uninterrupted(folder.path(), "sasn-smoke");
    let run = Run::new(folder.path().join("run"), config("sasn-smoke"));
    run.train(&FileSystem, Some(5)).unwrap();
    let newest = run.path.join("checkpoints/step-000005");
    let file = newest.join("generator.average.safetensors");
    let bytes = fs::read(&file).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for damaged in [&bytes[..bytes.len() - 1], &flipped, b""] {
        fs::write(&file, damaged).unwrap();
        let error = run.train(&FileSystem, None).unwrap_err();
        assert!(error.to_string().contains("generator.average.safetensors: damaged or cut off"), "{error}");
        assert!(error.hint().unwrap().contains("delete this checkpoint's folder"));
    }
    fs::remove_dir_all(newest).unwrap();
    run.train(&FileSystem, None).unwrap();
    assert_equal(&run, &reference);
}
