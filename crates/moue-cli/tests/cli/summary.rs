//! What a method is made of, as tables and as JSON.

use crate::program::{fail, run, succeed, temporary};

#[test]
fn a_summary_is_a_table_for_each_player() {
    let text = succeed("summary attgan-smoke");
    let tables: Vec<Vec<&str>> = text.trim_end().split("\n\n").map(|table| table.lines().collect()).collect();
    assert_eq!(tables[0], ["attgan at 32 px"]);
    for (table, player) in tables[1..].iter().zip(["generator", "discriminator"]) {
        assert!(table[0].starts_with(player) && table[0].ends_with("multiply-adds"), "{text}");
        let (sums, rows) = table.split_last().unwrap();
        assert!(sums.contains(" parameters, ") && sums.ends_with(" multiply-adds for a face"), "{text}");
        assert!(rows.iter().all(|row| row.chars().count() == rows[0].chars().count()), "{text}");
    }
    let first: Vec<_> = tables[1][1].split_whitespace().collect();
    let expected = "enc_layers.0.layers.0 conv 4x4 /2 8 x 16 x 16 384 98,304";
    assert_eq!(first.join(" "), expected);
}

#[test]
fn json_runs_files_and_settings_are_understood() {
    let json = |arguments: &str| -> serde_json::Value {
        serde_json::from_str(&succeed(&format!("summary {arguments} --json"))).unwrap()
    };
    let folder = temporary();
    let file = folder.path().join("model.safetensors");
    succeed(&format!("export {} --out {}", run().display(), file.display()));
    let of_run = json(&run().display().to_string());
    assert_eq!((&of_run["method"], &of_run["image_size"]), (&"sasn".into(), &16.into()));
    assert_eq!(json(&run().join("checkpoints/step-000012").display().to_string()), of_run);
    assert_eq!(json(&file.display().to_string()), of_run);
    assert_eq!(of_run["players"][0]["layers"][0]["output"], serde_json::json!([4, 16, 16]));
    let wider = json("smoke --set method.channels=16");
    assert_eq!(wider["players"][0]["layers"][0]["output"], serde_json::json!([16, 32, 32]));
    fail("summary stargam", "there is no preset 'stargam'", "stargan");
    fail("summary smoke --set method.image_size=33", "33 px", "multiple of 4");
    fail("summary no/such.safetensors", "cannot read no/such.safetensors", "check the path");
    fail(&format!("summary {} --set seed=1", file.display()), "has its own settings", "--set");
}
