//! Times the two updates of a preset's method on random images: `step_time PRESET [BATCH]`.
use burn::tensor::{Tensor, TensorData};
use moue::base::{
    device,
    expression::Expression,
    faces::{Batch, Faces},
    rng::Rng,
};
use moue::methods::{MethodConfig, PRESETS, sasn::Sasn};
use std::time::Instant;
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let preset = PRESETS.iter().find(|p| p.name == name || p.aliases.contains(&&*name)).unwrap();
    let (method, schedule) = (preset.settings)();
    let batch = std::env::args().nth(2).map_or(schedule.batch_size, |b| b.parse().unwrap());
    let d = device::device("cpu").unwrap();
    let s = method.image_size();
    let mut rng = Rng::stream(0, "x", 0);
    let v: Vec<f32> = (0..batch * 3 * s * s).map(|_| rng.between(-1.0, 1.0)).collect();
    let expressions: Vec<_> = (0..batch).map(|i| Expression::ALL[i % 8]).collect();
    let targets: Vec<_> = (0..batch).map(|i| Expression::ALL[(i * 3 + 1) % 8]).collect();
    let b = Batch {
        source: Faces { images: Tensor::from_data(TensorData::new(v, [batch, 3, s, s]), &d), expressions },
        targets,
        target_images: None,
    };
    let MethodConfig::Sasn(c) = method else { panic!() };
    let mut game = Sasn::new(c, 1, &d);
    for _ in 0..4 {
        let t = Instant::now();
        let l = game.update_generator(&b, 1e-4);
        let g = t.elapsed();
        let t = Instant::now();
        game.update_discriminator(&b, 1e-4, &mut rng);
        println!("G {:?} D {:?} {:?}", g, t.elapsed(), l[0].1.clone().into_data());
    }
}
