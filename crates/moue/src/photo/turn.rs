//! The eight ways in which a camera can lie: EXIF's orientation, and where a point of the upright photo is stored.

/// How stored pixels must be turned to stand upright: EXIF's tag 0x0112, 1..=8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u8);

impl Turn {
    /// Pixels that stand upright as they are.
    pub const NONE: Turn = Turn(1);

    /// The turn of an EXIF value; `None` outside 1..=8.
    pub fn from_exif(value: u16) -> Option<Self> {
        (1..=8).contains(&value).then_some(Self(value as u8))
    }

    /// The EXIF value, 1..=8.
    pub fn exif(self) -> u8 {
        self.0
    }

    /// Whether width and height change places.
    pub fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// Width and height of the upright image, from those of the stored one. It is its own inverse.
    pub fn dimensions(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.swaps_sides() { (height, width) } else { (width, height) }
    }

    /// Where a point of the upright image is in the stored one, whose size is `stored`. Coordinates are continuous:
    /// (0, 0) is the outer corner of the first pixel, and pixel centres end in .5.
    pub fn stored_from_upright(self, stored: (u32, u32), [x, y]: [f64; 2]) -> [f64; 2] {
        let (width, height) = (f64::from(stored.0), f64::from(stored.1));
        match self.0 {
            2 => [width - x, y],
            3 => [width - x, height - y],
            4 => [x, height - y],
            5 => [y, x],
            6 => [y, height - x],
            7 => [width - y, height - x],
            8 => [width - y, x],
            _ => [x, y],
        }
    }

    /// Where a point of the stored image, whose size is `stored`, is in the upright one: the inverse of
    /// [`Turn::stored_from_upright`].
    pub fn upright_from_stored(self, stored: (u32, u32), [x, y]: [f64; 2]) -> [f64; 2] {
        let (width, height) = (f64::from(stored.0), f64::from(stored.1));
        match self.0 {
            2 => [width - x, y],
            3 => [width - x, height - y],
            4 => [x, height - y],
            5 => [y, x],
            6 => [height - y, x],
            7 => [height - y, width - x],
            8 => [y, width - x],
            _ => [x, y],
        }
    }

    /// What `image` calls this.
    pub(super) fn orientation(self) -> image::metadata::Orientation {
        image::metadata::Orientation::from_exif(self.0).unwrap_or(image::metadata::Orientation::NoTransforms)
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Rgb, RgbImage};

    use super::*;

    #[test]
    fn points_go_where_image_puts_the_pixels() {
        let stored = RgbImage::from_fn(7, 4, |x, y| Rgb([x as u8, y as u8, 9]));
        for value in 1..=8 {
            let turn = Turn::from_exif(value).unwrap();
            let mut upright = DynamicImage::ImageRgb8(stored.clone());
            upright.apply_orientation(turn.orientation());
            let upright = upright.into_rgb8();
            assert_eq!(upright.dimensions(), turn.dimensions((7, 4)), "orientation {value}");
            for (x, y, pixel) in upright.enumerate_pixels() {
                let point = [f64::from(x) + 0.5, f64::from(y) + 0.5];
                let [sx, sy] = turn.stored_from_upright((7, 4), point);
                assert_eq!(
                    stored.get_pixel(sx.floor() as u32, sy.floor() as u32),
                    pixel,
                    "orientation {value}"
                );
                assert_eq!(turn.upright_from_stored((7, 4), [sx, sy]), point, "orientation {value}");
            }
        }
        assert!(Turn::from_exif(0).is_none() && Turn::from_exif(9).is_none());
    }
}
