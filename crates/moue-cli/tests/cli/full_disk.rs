//! A disk that fills up: a small file system that is mounted for the test, where that is allowed.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;

use crate::program::{TINY, assert_equal_checkpoints, face, faces, fail, names, run, succeed, temporary};

fn mount(folder: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder);
    command.output().is_ok_and(|output| output.status.success())
}

/// Calls `test` with a folder on a file system of 160 KiB.
fn on_a_small_disk(test: impl FnOnce(&Path)) {
    let folder = temporary();
    if !mount(folder.path(), "size=160k") {
        // Not eprintln!, which is shown of failed tests only.
        let text =
            "left out: no file system may be mounted here; tests/resume.rs fills a disk by other means\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    let result = catch_unwind(AssertUnwindSafe(|| test(folder.path())));
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    result.unwrap_or_else(|panic| resume_unwind(panic));
}

#[test]
fn a_run_on_a_full_disk_goes_on_when_there_is_room() {
    on_a_small_disk(|disk| {
        // run.toml fits, a checkpoint of 260 KiB does not.
        let path = disk.join("run");
        let train = format!("train {TINY} --data {} --out {}", faces(), path.display());
        fail(&train, "cannot write", "free some space");
        assert_eq!(fs::read_dir(path.join("checkpoints")).unwrap().count(), 0, "nothing half-written");
        assert!(mount(disk, "remount,size=8m"));
        succeed(&format!("train --resume {}", path.display()));
        assert_equal_checkpoints(&path, run());
    });
}

#[test]
fn results_that_do_not_fit_are_named_and_none_is_half_written() {
    on_a_small_disk(|disk| {
        let input = face("006_neutral_frontal.jpg");
        let translate = format!(
            "translate {} --aligned --model {} --out {}",
            input.display(),
            run().display(),
            disk.display()
        );
        fail(&translate, "cannot write", "free some space");
        for name in names(disk) {
            assert_eq!(moue::base::image::read(&disk.join(name)).unwrap().dimensions(), (256, 256));
        }
    });
}
