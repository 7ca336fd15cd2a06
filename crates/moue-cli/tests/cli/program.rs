//! Starts the program and looks at what it did.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A training that takes half a second: 12 batches, checkpoints at 3, 6, 9 and 12, of which 6 and 12 stay.
pub(crate) const TINY: &str = "--preset smoke --set training.iterations=12 --set output.log_every=1 \
     --set output.sample_every=6 --set output.checkpoint_every=3 --set output.keep_every=6 \
     --set method.image_size=16 --set method.channels=4 --set method.residual_blocks=1 \
     --set method.discriminator_channels=4 --set method.discriminator_layers=3";

/// How long to wait for something that ought to happen within seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A file or folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap().join(path)
}

/// The repository's faces.
pub(crate) fn faces() -> String {
    repository("assets/faces").display().to_string()
}

/// A face of theirs, 256 x 256.
pub(crate) fn face(name: &str) -> PathBuf {
    repository("assets/faces").join(&name[..3]).join(name)
}

pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The program with arguments as one would type them; paths have no spaces here.
pub(crate) fn moue(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moue"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command
}

/// What a program left behind when it ended.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    let outcome =
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    outcome
}

/// Runs the program, which must succeed, and returns its stdout.
pub(crate) fn succeed(arguments: &str) -> String {
    let Outcome { code, stdout, stderr } = outcome(moue(arguments));
    assert_eq!(code, Some(0), "moue {arguments}\n{stderr}");
    stdout
}

/// Runs the program, which must fail with one error that holds `problem` and one hint that holds `remedy`.
pub(crate) fn fail(arguments: &str, problem: &str, remedy: &str) {
    let Outcome { code, stdout, stderr } = outcome(moue(arguments));
    assert_eq!(code, Some(1), "moue {arguments}\n{stderr}");
    assert_eq!(stdout, "", "stdout is for results");
    let lines = |beginning: &str| stderr.lines().filter(|l| l.starts_with(beginning)).collect::<Vec<_>>();
    let ([error], [hint]) = (&lines("error: ")[..], &lines("hint: ")[..]) else {
        panic!("one error and one hint, not\n{stderr}")
    };
    assert!(error.contains(problem), "'{problem}' is not in\n{stderr}");
    assert!(hint.contains(remedy), "'{remedy}' is not in\n{stderr}");
}

/// Every file in a folder and below, with its bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(level) = open.pop() {
        for entry in fs::read_dir(&level).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(path).unwrap());
            }
        }
    }
    files
}

/// The names of all files in a folder and below, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().map(|path| path.display().to_string()).collect()
}

/// The checkpoints of two runs hold the same bytes.
pub(crate) fn assert_equal_checkpoints(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|run| files(&run.join("checkpoints")));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    assert!(one.len() > 5, "a checkpoint has six files");
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{} differs", name.display());
    }
}

/// Waits until something is so; the program must not end before.
pub(crate) fn wait_until(child: &mut Child, what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "waited too long for: {what}");
        assert!(child.try_wait().unwrap().is_none(), "the program ended before: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A finished run of [`TINY`] that tests share and only read. It lies in the target folder and is made anew each time.
pub(crate) fn run() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared-run");
        let _ = fs::remove_dir_all(&path);
        succeed(&format!("train {TINY} --data {} --out {}", faces(), path.display()));
        path
    })
}
