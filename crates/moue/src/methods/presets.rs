//! The named starting points of training runs.

use super::{Decay, MethodConfig, Schedule, attgan, cyclegan, moue, pix2pix, sasn, stargan};

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
///
/// Published epochs are counted on the data of the publication where it has one set of faces (AttGAN: CelebA), and on RaFD,
/// the paper's data, where it has many sets of many sizes (pix2pix, CycleGAN). What says batches stays batches (StarGAN).
pub const PRESETS: [Preset; 19] = [
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
        name: "cyclegan",
        aliases: &[],
        about: "CycleGAN as published: from neutral to one expression and back, without pairs, 128 px",
        settings: || (MethodConfig::Cyclegan(cyclegan::Config::paper()), Schedule::one_way(40_200, false)),
    },
    Preset {
        name: "cyclegan-small",
        aliases: &[],
        about: "CycleGAN at 64 px with half the channels, for two CPU cores",
        settings: || (MethodConfig::Cyclegan(cyclegan::Config::small()), Schedule::one_way(8_000, false)),
    },
    Preset {
        name: "cyclegan-smoke",
        aliases: &[],
        about: "a tiny CycleGAN that trains for a minute, to try the whole way",
        settings: || (MethodConfig::Cyclegan(cyclegan::Config::smoke()), Schedule::one_way(60, false)),
    },
    Preset {
        name: "moue",
        aliases: &["recommended"],
        about: "our method: an edit of the face that holds at any resolution, 128 px",
        settings: || (MethodConfig::Moue(moue::Config::recommended()), Schedule::paired(40_000)),
    },
    Preset {
        name: "moue-close",
        aliases: &[],
        about: "moue at 256 px, where it looks closer at brows, eyes and mouth, from moue on",
        settings: || (MethodConfig::Moue(moue::Config::close()), Schedule::paired(40_000)),
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
        name: "pix2pix",
        aliases: &[],
        about: "pix2pix as published: from neutral to one expression, learned from pairs, 128 px",
        settings: || (MethodConfig::Pix2pix(pix2pix::Config::paper()), Schedule::one_way(40_200, true)),
    },
    Preset {
        name: "pix2pix-small",
        aliases: &[],
        about: "pix2pix at 64 px with half the channels, for two CPU cores",
        settings: || (MethodConfig::Pix2pix(pix2pix::Config::small()), Schedule::one_way(12_000, true)),
    },
    Preset {
        name: "pix2pix-smoke",
        aliases: &[],
        about: "a tiny pix2pix that trains for a minute, to try the whole way",
        settings: || (MethodConfig::Pix2pix(pix2pix::Config::smoke()), Schedule::one_way(60, true)),
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

    /// Batches of one. 40,200 of them are 200 epochs of RaFD's 201 frontal faces of an expression (67 people, three
    /// gazes), of which the rate falls in the second hundred.
    fn one_way(iterations: u64, pairs: bool) -> Self {
        Self { batch_size: 1, iterations, decay: Decay::SecondHalf, flip: true, pairs, ..Self::PLAIN }
    }

    fn small() -> Self {
        Self { batch_size: 8, iterations: 2_000, decay: Decay::SecondHalf, flip: true, ..Self::PLAIN }
    }

    fn smoke() -> Self {
        Self { batch_size: 4, iterations: 60, decay: Decay::Constant, flip: true, ..Self::PLAIN }
    }
}
