//! The floors of the house: imports go down only, and a few more promises of ARCHITECTURE.md that a compiler
//! cannot check. Every complaint names file and line.
//!
//! The checker (`floors/source.rs`) reads tokens, not text: comments, strings and characters are gone before a rule looks. It follows
//! `crate::`, `self::` and `super::` through groups, aliases and inline modules.

#[path = "floors/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use source::{Mention, Source};

/// Each module of the library, and the modules it may import beside itself.
const FLOORS: [(&str, &[&str]); 6] = [
    ("base", &[]),
    ("nn", &["base"]),
    ("methods", &["base", "nn"]),
    ("data", &["base"]),
    ("photo", &["base", "nn"]),
    ("run", &["base", "nn", "methods", "data", "photo"]),
];

/// Names that `run` must not know.
const METHODS: [&str; 5] = ["sasn", "stargan", "pix2pix", "cyclegan", "attgan"];

/// The only file that names burn's backends.
const DEVICE_FILE: &str = "crates/moue/src/base/device.rs";

/// The crates that follow all rules but for the floors, which are the library's.
const ALL: [&str; 3] = ["crates/moue/src", "crates/moue-evaluation/src", "crates/moue-cli/src"];

/// The longest file that can be read in one go.
const MOST_LINES: usize = 500;

// The rules, each from files to complaints.

/// Imports go down only; siblings never. Test modules are not excused.
fn upward_imports(files: &[Source]) -> Vec<String> {
    let exported = names_at_the_root(files);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !file.modules.is_empty()) {
        let own = file.modules[0].as_str();
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == own) else {
            complaints.push(file.complain(1, format!("module `{own}` has no floor: give it one in FLOORS")));
            continue;
        };
        for mention in &file.mentions {
            let Some(absolute) = &mention.absolute else { continue };
            let first = absolute.first().map_or("*", String::as_str);
            let target = exported.get(first).map_or(first, String::as_str);
            let path = mention.segments.join("::");
            if target == own || below.contains(&target) {
                continue;
            }
            let known = FLOORS.iter().any(|(name, _)| *name == target);
            let problem = if known { "lies above or beside it" } else { "is no module of this library" };
            let allowed = if below.is_empty() { "nothing".into() } else { below.join(", ") };
            let text =
                format!("`{own}` imports `{path}`: `{target}` {problem}; `{own}` may import {allowed}");
            complaints.push(file.complain(mention.line, text));
        }
    }
    complaints
}

/// A method that is by its definition another one's networks with a part exchanged: `moue` is `sasn` with another head.
const BUILT_ON: [(&str, &str); 1] = [("moue", "sasn")];

/// What lies beside the methods and knows them all, as `methods/mod.rs` does.
const NO_METHOD: &str = "presets";

/// A method knows the blocks and `methods/mod.rs`, not another method. A test may compare two.
fn methods_that_know_each_other(files: &[Source]) -> Vec<String> {
    let method = |modules: &[String]| match modules {
        [first, second, ..] if first == "methods" && second != NO_METHOD => Some(second.clone()),
        _ => None,
    };
    let all: BTreeSet<String> = files.iter().filter_map(|file| method(&file.modules)).collect();
    complaints(files, |file, mention| {
        let own = method(&file.modules)?;
        let other = method(mention.absolute.as_deref()?)?;
        let built_on = BUILT_ON.contains(&(own.as_str(), other.as_str()));
        let foreign = !mention.in_test && !built_on && other != own && all.contains(&other);
        foreign
            .then(|| format!("method `{own}` imports method `{other}`: share a block in nn, not a network"))
    })
}

/// `methods` never touches files, in its tests neither: goldens live in `tests/`.
fn methods_that_touch_files(files: &[Source]) -> Vec<String> {
    let touches = |path: &[String]| {
        let named = |name: &String| ["File", "OpenOptions", "Path", "PathBuf"].contains(&name.as_str());
        path.iter().any(named) || has(path, "std", "fs") || (path.len() > 1 && path[0] == "fs")
    };
    complaints(files, |file, mention| {
        let inside = file.modules.first().is_some_and(|first| first == "methods");
        (inside && touches(&mention.segments))
            .then(|| format!("`methods` touches files: `{}`", mention.segments.join("::")))
    })
}

/// `run` trains, saves and loads whatever there is, and names no method.
fn methods_named_in_run(files: &[Source]) -> Vec<String> {
    complaints(files, |file, mention| {
        let inside = file.modules.first().is_some_and(|first| first == "run") && !mention.in_test;
        let names_a_method = |segment: &&String| {
            let word = segment.to_lowercase().replace('_', "");
            METHODS.iter().any(|method| word.contains(method))
        };
        let name = mention.segments.iter().find(names_a_method).filter(|_| inside)?;
        Some(format!("`run` names a method: `{name}`"))
    })
}

/// Backends have names in `base/device.rs` alone, so that another one is a change in one file.
fn backends_named_elsewhere(files: &[Source]) -> Vec<String> {
    let names_one = |path: &[String]| {
        let device = ["flex", "cuda", "wgpu"].iter().any(|name| has(path, "Device", name));
        device || has(path, "burn", "backend") || path.iter().any(|name| name == "burn_flex")
    };
    complaints(files, |file, mention| {
        let free = file.path == DEVICE_FILE || mention.in_test;
        (!free && names_one(&mention.segments)).then(|| {
            format!("a backend is named outside of base/device.rs: `{}`", mention.segments.join("::"))
        })
    })
}

/// No file is longer than a reader's patience.
fn long_files(files: &[Source]) -> Vec<String> {
    let long = files.iter().filter(|file| file.lines > MOST_LINES);
    long.map(|file| file.complain(file.lines, format!("{} lines; at most {MOST_LINES}", file.lines)))
        .collect()
}

fn complaints(files: &[Source], rule: impl Fn(&Source, &Mention) -> Option<String>) -> Vec<String> {
    let of_file = |file: &Source| {
        let found =
            file.mentions.iter().filter_map(|m| rule(file, m).map(|text| file.complain(m.line, text)));
        found.collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

/// Whether `first::second` occurs in a path.
fn has(path: &[String], first: &str, second: &str) -> bool {
    path.windows(2).any(|pair| pair[0] == first && pair[1] == second)
}

/// What `lib.rs` re-exports, and from which module: `crate::Error` is an import of `base`.
fn names_at_the_root(files: &[Source]) -> BTreeMap<String, String> {
    let root = files.iter().filter(|file| file.path.ends_with("moue/src/lib.rs"));
    let paths = root.flat_map(|file| &file.mentions).map(|mention| {
        let relative = mention.absolute.as_ref().unwrap_or(&mention.segments);
        (mention.name.clone(), relative.first().cloned().unwrap_or_default())
    });
    paths.filter(|(name, module)| name != module && FLOORS.iter().any(|(floor, _)| floor == module)).collect()
}

// The house as it stands.

fn collect(root: &Path, folder: &str, files: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else if path.ends_with(".rs") {
            files.push(Source::read(&path, &fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

fn files_of(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    folders.iter().for_each(|folder| collect(&root, folder, &mut files));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "no source file was found");
    files
}

fn library() -> Vec<Source> {
    files_of(&["crates/moue/src"])
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_go_down_only() {
    none(upward_imports(&library()));
}

#[test]
fn methods_know_no_other_method() {
    none(methods_that_know_each_other(&library()));
}

#[test]
fn methods_never_touch_files() {
    none(methods_that_touch_files(&library()));
}

#[test]
fn run_names_no_method() {
    none(methods_named_in_run(&library()));
}

#[test]
fn backends_are_named_in_one_file() {
    none(backends_named_elsewhere(&files_of(&ALL)));
}

#[test]
fn no_file_is_too_long() {
    none(long_files(&files_of(&ALL)));
}

// The checker itself, on made-up files.

/// Runs a rule over files named from `crates/moue/src/`.
fn check(rule: fn(&[Source]) -> Vec<String>, files: &[(&str, &str)]) -> Vec<String> {
    let read = |(path, text): &(&str, &str)| Source::read(&format!("crates/moue/src/{path}"), text);
    rule(&files.iter().map(read).collect::<Vec<_>>())
}

/// Asserts that there is one complaint, at `place`.
#[track_caller]
fn caught(rule: fn(&[Source]) -> Vec<String>, files: &[(&str, &str)], place: &str) {
    let found = check(rule, files);
    let start = format!("crates/moue/src/{place}: ");
    assert!(
        found.len() == 1 && found[0].starts_with(&start),
        "expected one complaint at {place}, got {found:?}"
    );
}

#[test]
fn the_checker_catches_imports_that_go_up_or_sideways() {
    let rule = upward_imports;
    caught(rule, &[("base/rng.rs", "use std::fmt;\n\nuse crate::nn::losses;\n")], "base/rng.rs:3");
    caught(rule, &[("nn/losses.rs", "fn f() {\n    crate::methods::sasn::g()\n}\n")], "nn/losses.rs:2");
    caught(rule, &[("photo/apply.rs", "use crate::methods::Method;")], "photo/apply.rs:1");
    caught(rule, &[("data/split.rs", "use crate::{base::rng::Rng,\n photo::align};")], "data/split.rs:2");
    caught(rule, &[("data/split.rs", "use crate::{base as b, run as r};")], "data/split.rs:1");
    caught(rule, &[("methods/sasn.rs", "use super::super::run::train;")], "methods/sasn.rs:1");
    caught(rule, &[("nn/a.rs", "mod tests {\n use super::super::super::run::train;\n}")], "nn/a.rs:2");
    caught(rule, &[("nn/a.rs", "use crate::*;")], "nn/a.rs:1");
    caught(rule, &[("web/page.rs", "")], "web/page.rs:1");
    caught(rule, &[("lib.rs", "pub use run::Trainer;"), ("nn/a.rs", "use crate::Trainer;")], "nn/a.rs:1");
}

#[test]
fn the_checker_lets_imports_go_down() {
    let files = [
        ("lib.rs", "pub mod base;\npub use base::error::{Error as Fault, Result};\npub use run::train;"),
        ("base/mod.rs", "pub mod error;\npub use self::error::Error;"),
        ("base/rng.rs", "//! Used by [`crate::run`].\nuse super::error::Error; // never crate::run"),
        ("nn/a.rs", "/* crate::run /* nested */ crate::run */ use crate::{Fault, Result, base::rng::Rng};"),
        (
            "nn/b.rs",
            "const A: &str = \"crate::run\\\"\"; const B: &str = r#\"\" crate::run\"#; const C: char = '\"';",
        ),
        (
            "nn/c.rs",
            "fn f<'a>(x: &'a str) {}\n#[cfg(test)]\nmod tests { use super::*; use super::super::a; }",
        ),
        ("methods/sasn.rs", "use crate::nn::{self, a::A}; use super::Method;"),
        ("run/train.rs", "use crate::{base, data, methods::Method, nn, photo}; use super::config;"),
    ];
    none(check(upward_imports, &files));
}

#[test]
fn the_checker_catches_methods_that_know_each_other_or_files() {
    let other = ("methods/stargan.rs", "pub fn generator() {}");
    let rule = methods_that_know_each_other;
    caught(
        rule,
        &[other, ("methods/sasn.rs", "use super::{Method, stargan::generator};")],
        "methods/sasn.rs:1",
    );
    caught(rule, &[other, ("methods/sasn.rs", "\nuse crate::methods::stargan;")], "methods/sasn.rs:2");
    let test = "use super::Method;\n#[cfg(test)]\nmod tests {\n use crate::methods::{sasn, stargan};\n}";
    let mod_rs = ("methods/mod.rs", "mod sasn; mod stargan; pub use self::stargan::generator;");
    none(check(rule, &[other, mod_rs, ("methods/sasn.rs", test)]));

    let rule = methods_that_touch_files;
    for text in
        ["use std::{fs, io};", "fn f(p: &Path) {}", "fn f() { File::open(p) }", "fn f() { fs::read(p) }"]
    {
        caught(rule, &[("methods/sasn.rs", text)], "methods/sasn.rs:1");
    }
    none(check(
        rule,
        &[("methods/sasn.rs", "// std::fs\nfn f(fs: f32) {}"), ("run/folder.rs", "use std::fs;")],
    ));
}

#[test]
fn the_checker_catches_methods_named_in_run() {
    let rule = methods_named_in_run;
    caught(
        rule,
        &[("run/train.rs", "use crate::methods::Method;\nfn f() { Method::StarGan }")],
        "run/train.rs:2",
    );
    caught(rule, &[("run/config.rs", "fn sasn_small() {}")], "run/config.rs:1");
    let allowed = "// sasn\nconst A: &str = \"sasn\";\n#[cfg(test)]\nmod tests { fn sasn() {} }\nfn f() {}";
    none(check(rule, &[("run/train.rs", allowed), ("methods/mod.rs", "mod sasn;")]));
    caught(rule, &[("run/train.rs", &format!("{allowed}\nfn sasn() {{}}"))], "run/train.rs:6");
}

#[test]
fn the_checker_catches_backends_named_elsewhere() {
    let rule = backends_named_elsewhere;
    for text in
        ["fn f() { Device::flex() }", "use burn::{backend::Flex, tensor::Tensor};", "use burn_flex::Flex;"]
    {
        caught(rule, &[("run/train.rs", text)], "run/train.rs:1");
        none(check(rule, &[("base/device.rs", text)]));
    }
    none(check(
        rule,
        &[("nn/a.rs", "use burn::tensor::Device;\n#[cfg(test)] mod t { fn f() { Device::flex() } }")],
    ));
}

#[test]
fn the_checker_catches_long_files() {
    none(check(long_files, &[("nn/a.rs", &"\n".repeat(MOST_LINES))]));
    caught(long_files, &[("nn/a.rs", &"\n".repeat(MOST_LINES + 1))], "nn/a.rs:501");
}
