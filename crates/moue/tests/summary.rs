//! What a summary says of each method's networks is what is known of them: published numbers of parameters, and the
//! multiply-adds that follow from a layer's shape.

use moue::methods::{MethodConfig, PRESETS};
use moue::run::config::RunConfig;
use moue::run::summary::{Layer, PlayerSummary, Summary};

fn summary(preset: &str, settings: &[&str]) -> [PlayerSummary; 2] {
    let settings: Vec<_> = settings.iter().map(|setting| setting.to_string()).collect();
    let method: MethodConfig = RunConfig::layered(Some(preset), None, &settings).unwrap().method;
    let summary = Summary::of(&method).unwrap();
    assert_eq!((summary.method, summary.image_size), (method.name(), method.image_size()));
    summary.players.try_into().expect("a generator and a discriminator")
}

fn layer<'a>(player: &'a PlayerSummary, name: &str) -> &'a Layer {
    player.layers.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("no layer {name}"))
}

fn assert_layer(layer: &Layer, kind: &str, output: &[usize], parameters: usize, multiply_adds: u64) {
    assert_eq!((layer.kind.as_str(), &layer.output[..]), (kind, output), "{}", layer.name);
    assert_eq!((layer.parameters, layer.multiply_adds), (parameters, multiply_adds), "{}", layer.name);
}

#[test]
fn stargan_s_is_as_published() {
    let [generator, discriminator] = summary("stargan", &[]);
    assert_eq!(
        (generator.name.as_str(), generator.parameters, generator.buffers),
        ("generator", 8_439_936, 0)
    );
    assert_eq!((discriminator.name.as_str(), discriminator.parameters), ("discriminator", 44_786_624));
    // 64 outputs at 128 x 128, each a sum of 11 channels and 7 x 7 taps.
    let stem = layer(&generator, "main.0");
    assert_layer(stem, "conv 7x7", &[64, 128, 128], 64 * 11 * 49, 128 * 128 * 64 * 11 * 49);
    assert_layer(layer(&generator, "main.1"), "instance norm", &[64, 128, 128], 2 * 64, 0);
    // Each of 32 x 32 x 256 inputs goes to 128 channels and 4 x 4 places.
    let up = layer(&generator, "main.15");
    assert_layer(up, "transposed conv 4x4 /2", &[128, 64, 64], 256 * 128 * 16, 32 * 32 * 256 * 128 * 16);
    let first = layer(&discriminator, "main.0");
    assert_layer(first, "conv 4x4 /2", &[64, 64, 64], 64 * 3 * 16 + 64, 64 * 64 * 64 * 3 * 16);
    let order: Vec<_> = generator.layers.iter().take(4).map(|layer| layer.name.as_str()).collect();
    assert_eq!(order, ["main.0", "main.1", "main.3", "main.4"]);
}

#[test]
fn sasn_s_has_attention_and_the_vectors_of_spectral_norm() {
    let [generator, discriminator] = summary("sasn", &["method.source_head=patch"]);
    assert_eq!((generator.parameters, generator.buffers), (8_542_818, 0));
    assert_eq!((discriminator.parameters, discriminator.buffers), (44_786_624, 62_457));
    // 4096 x 4096 products of queries with keys of 16 channels, and as many with values of 128.
    assert_layer(layer(&generator, "attention2"), "attention", &[128, 64, 64], 1, 4096 * 4096 * (16 + 128));
    assert_layer(
        layer(&generator, "attention2.f"),
        "conv 1x1",
        &[16, 64, 64],
        128 * 16 + 16,
        4096 * 128 * 16,
    );
    let [plain, _] = summary("sasn", &["method.attention=[]", "method.spectral_norm=false"]);
    let [stargan, _] = summary("stargan", &[]);
    assert_eq!((plain.parameters, plain.multiply_adds), (stargan.parameters, stargan.multiply_adds));
}

#[test]
fn attgan_s_has_linear_layers_and_running_statistics() {
    let [generator, discriminator] = summary("attgan", &[]);
    assert_eq!((generator.parameters, discriminator.parameters), (43_336_323, 44_713_865));
    assert_eq!((generator.buffers, discriminator.buffers), (2 * (1984 + 1920), 0));
    let norm = layer(&generator, "enc_layers.4.layers.1");
    assert_layer(norm, "batch norm", &[1024, 4, 4], 2 * 1024, 0);
    let head = layer(&generator, "dec_layers.4.layers.0");
    assert_layer(head, "transposed conv 4x4 /2", &[3, 128, 128], 128 * 3 * 16 + 3, 64 * 64 * 128 * 3 * 16);
    let linear = layer(&discriminator, "fc_adv.0.layers.0");
    assert_layer(linear, "linear", &[1024], 16_384 * 1024 + 1024, 16_384 * 1024);
    let [once, _] = summary("attgan", &["method.second_label=false"]);
    assert_eq!(once.parameters, 43_270_787);
}

#[test]
fn every_parameter_of_every_method_is_in_one_layer() {
    for preset in PRESETS.iter().filter(|preset| preset.name.ends_with("-smoke")) {
        let (method, _) = (preset.settings)();
        for player in Summary::of(&method).unwrap().players {
            let sum: usize = player.layers.iter().map(|layer| layer.parameters).sum();
            assert_eq!(sum, player.parameters, "{} {}", preset.name, player.name);
            let products: u64 = player.layers.iter().map(|layer| layer.multiply_adds).sum();
            assert_eq!(products, player.multiply_adds);
            assert!(player.layers.len() > 5 && products > 0, "{} {}", preset.name, player.name);
        }
    }
}
