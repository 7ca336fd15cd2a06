//! Where an edit fades to nothing, so that no seam shows.

use super::align::FaceSquare;

/// How far inside the square's border the edit has its full strength, in sides of the square.
const FEATHER: f64 = 0.08;

/// Where the edit fades out: by the distance to the part of the square's border that lies in the photo.
pub(super) struct Feather {
    /// For u = 0, u = 1, v = 0, v = 1 the part in the photo, if any, by the other coordinate.
    borders: [Option<[f64; 2]>; 4],
}

impl Feather {
    pub(super) fn of(square: &FaceSquare, width: u32, height: u32) -> Self {
        let border = |n: usize| {
            let at = (n % 2) as f64;
            let end = |t: f64| if n < 2 { square.to_photo(at, t) } else { square.to_photo(t, at) };
            inside(end(0.0), end(1.0), [f64::from(width), f64::from(height)])
        };
        Self { borders: [0, 1, 2, 3].map(border) }
    }

    /// 0 at the border, 1 well inside.
    #[inline(always)]
    pub(super) fn weight(&self, u: f64, v: f64) -> f32 {
        // Most of a face is farther from every border than that.
        if u >= FEATHER && 1.0 - u >= FEATHER && v >= FEATHER && 1.0 - v >= FEATHER {
            return 1.0;
        }
        let distance = |n: usize| {
            let [begin, end] = self.borders[n]?;
            let (across, along) = if n < 2 { (u, v) } else { (v, u) };
            let beyond = (begin - along).max(along - end).max(0.0);
            let inside = (across - (n % 2) as f64).abs();
            // A square root takes as long as the rest of a pixel, and nearly none needs one.
            Some(if beyond == 0.0 || inside >= FEATHER { inside } else { inside.hypot(beyond) })
        };
        let nearest = (0..4).filter_map(distance).fold(f64::INFINITY, f64::min);
        let t = (nearest / FEATHER).min(1.0);
        (t * t * (3.0 - 2.0 * t)) as f32
    }
}

/// The part of the way from a to b, in 0..1, that lies in a photo of this size and not along its very edge
/// (Liang and Barsky 1984).
fn inside(a: [f64; 2], b: [f64; 2], size: [f64; 2]) -> Option<[f64; 2]> {
    const EDGE: f64 = 0.5;
    let (mut begin, mut end) = (0.0f64, 1.0f64);
    for axis in 0..2 {
        let step = b[axis] - a[axis];
        for (distance, step) in [(a[axis] - EDGE, step), (size[axis] - EDGE - a[axis], -step)] {
            // Inside where distance + t step >= 0.
            if step > 0.0 {
                begin = begin.max(-distance / step);
            } else if step < 0.0 {
                end = end.min(-distance / step);
            } else if distance < 0.0 {
                return None;
            }
        }
    }
    (begin < end).then_some([begin, end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_from_the_border_and_not_from_the_photo_s_edge() {
        let square = FaceSquare { origin: [40.0, 40.0], across: [100.0, 0.0], down: [0.0, 100.0] };
        let feather = Feather::of(&square, 200, 200);
        let weights: Vec<f32> = (0..=20).map(|n| feather.weight(0.005 * f64::from(n), 0.5)).collect();
        assert!(weights.is_sorted() && weights[0] == 0.0 && weights[20] == 1.0, "{weights:?}");
        // The left border lies outside, and the upper one along the photo's very edge.
        let feather = Feather::of(&FaceSquare { origin: [-50.0, 0.0], ..square }, 200, 200);
        assert_eq!([feather.weight(0.5, 0.5), feather.weight(0.5, 0.01)], [1.0; 2]);
        assert_eq!(feather.weight(1.0, 0.5), 0.0);
    }

    #[test]
    fn the_part_inside_is_cut_at_the_edges() {
        let cut = |a, b| inside(a, b, [11.0, 21.0]);
        assert_eq!(cut([0.5, 5.0], [10.5, 5.0]), Some([0.0, 1.0]));
        assert_eq!(cut([-9.5, 5.0], [10.5, 5.0]), Some([0.5, 1.0]));
        assert_eq!(cut([5.0, 40.5], [5.0, 0.5]), Some([0.5, 1.0]));
        assert_eq!(cut([-5.0, 5.0], [-1.0, 5.0]), None);
        assert_eq!(cut([5.0, 0.0], [8.0, 0.0]), None, "along the very edge");
    }
}
