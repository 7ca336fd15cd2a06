//! `presets/*.toml` are printed from the code and say the same as it.
//!
//! After a change of a preset: `MOUE_WRITE_PRESETS=1 cargo test -p moue --test presets`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use moue::methods::PRESETS;
use moue::run::config::RunConfig;

#[test]
fn the_files_say_what_the_code_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../presets");
    let write = std::env::var_os("MOUE_WRITE_PRESETS").is_some();
    if write {
        fs::create_dir_all(&folder).unwrap();
    }
    let mut names = BTreeSet::new();
    for preset in &PRESETS {
        let (name, path) = (preset.name, folder.join(format!("{}.toml", preset.name)));
        let text = RunConfig::of_preset(name).unwrap().to_toml();
        if write {
            fs::write(&path, &text).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(stored, text, "{name}.toml: write it again with MOUE_WRITE_PRESETS=1");
        assert_eq!(RunConfig::layered(None, Some(&path), &[]).unwrap(), RunConfig::of_preset(name).unwrap());
        names.insert(format!("{name}.toml"));
    }
    let files = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "a file for each preset and no other");
}
