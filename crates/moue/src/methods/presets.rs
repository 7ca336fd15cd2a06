//! The named starting points of training runs.

use super::{Decay, MethodConfig, Schedule, attgan, moue, sasn, stargan};

/// A named starting point for a training run.
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What it is, one sentence.
    pub about: &'static str,
    /// Its settings.
    pub settings: fn() -> (MethodConfig, Schedule),
}

/// All presets: each method's as published, `-small` for two CPU cores, `-smoke` for a trial of the whole way.
pub const PRESETS: [Preset; 12] = [
    Preset {
        name: "attgan",
        aliases: &[],
        about: "AttGAN as published, 128 px",
        settings: || {
            // 200 epochs of the 182,000 training images of CelebA.
            let schedule = Schedule { batch_size: 32, ..Schedule::tenth_at_half(1_137_400) };
            (MethodConfig::Attgan(attgan::Config::paper()), schedule)
        },
    },
    Preset {
        name: "attgan-small",
        aliases: &[],
        about: "AttGAN at 64 px with half the channels and 2:1 updates, for two CPU cores",
        settings: || (MethodConfig::Attgan(attgan::Config::small()), Schedule::tenth_at_half(9_000)),
    },
    Preset {
        name: "attgan-smoke",
        aliases: &[],
        about: "a tiny AttGAN that trains for a minute, to try the whole way",
        settings: || (MethodConfig::Attgan(attgan::Config::smoke()), Schedule::smoke()),
    },
    Preset {
        name: "moue",
        aliases: &["recommended"],
        about: "our method: an edit of the face that holds at any resolution, 128 px",
        settings: || (MethodConfig::Moue(moue::Config::recommended()), Schedule::paired(40_000)),
    },
    Preset {
        name: "moue-small",
        aliases: &[],
        about: "moue at 64 px, for two CPU cores, and a start for moue",
        settings: || (MethodConfig::Moue(moue::Config::small()), Schedule::paired(20_000)),
    },
    Preset {
        name: "moue-smoke",
        aliases: &[],
        about: "a tiny moue that trains for a minute, to try the whole way",
        settings: || {
            let schedule = Schedule { augment: true, pairs: true, ..Schedule::smoke() };
            (MethodConfig::Moue(moue::Config::smoke()), schedule)
        },
    },
    Preset {
        name: "sasn",
        aliases: &["paper"],
        about: "the paper to the letter: StarGAN with two self-attention modules and spectral norm, 128 px",
        settings: || (MethodConfig::Sasn(sasn::Config::paper()), Schedule::paper(2_000_000)),
    },
    Preset {
        name: "sasn-small",
        aliases: &["small"],
        about: "sasn at 64 px with half the channels, hinge loss and 1:1 updates, for two CPU cores",
        settings: || (MethodConfig::Sasn(sasn::Config::small()), Schedule::small()),
    },
    Preset {
        name: "sasn-smoke",
        aliases: &["smoke"],
        about: "a tiny sasn that trains for a minute, to try the whole way",
        settings: || (MethodConfig::Sasn(sasn::Config::smoke()), Schedule::smoke()),
    },
    Preset {
        name: "stargan",
        aliases: &[],
        about: "StarGAN as published, 128 px",
        settings: || (MethodConfig::Stargan(stargan::Config::paper()), Schedule::paper(200_000)),
    },
    Preset {
        name: "stargan-small",
        aliases: &[],
        about: "StarGAN at 64 px with half the channels and 1:1 updates, for two CPU cores",
        settings: || (MethodConfig::Stargan(stargan::Config::small()), Schedule::small()),
    },
    Preset {
        name: "stargan-smoke",
        aliases: &[],
        about: "a tiny StarGAN that trains for a minute, to try the whole way",
        settings: || (MethodConfig::Stargan(stargan::Config::smoke()), Schedule::smoke()),
    },
];

impl Schedule {
    const PLAIN: Self = Self {
        batch_size: 0,
        iterations: 0,
        decay: Decay::Constant,
        flip: false,
        augment: false,
        pairs: false,
    };

    fn paired(iterations: u64) -> Self {
        let decay = Decay::SecondHalf;
        Self { batch_size: 8, iterations, decay, flip: true, augment: true, pairs: true }
    }

    fn paper(iterations: u64) -> Self {
        Self { batch_size: 16, iterations, decay: Decay::SecondHalf, flip: true, ..Self::PLAIN }
    }

    fn tenth_at_half(iterations: u64) -> Self {
        Self { batch_size: 16, iterations, decay: Decay::TenthAtHalf, flip: true, ..Self::PLAIN }
    }

    fn small() -> Self {
        Self { batch_size: 8, iterations: 2_000, decay: Decay::SecondHalf, flip: true, ..Self::PLAIN }
    }

    fn smoke() -> Self {
        Self { batch_size: 4, iterations: 60, decay: Decay::Constant, flip: true, ..Self::PLAIN }
    }
}
