//! The patches under a kernel as the columns of a matrix, and back.

use std::ops::Range;

use rayon::prelude::*;

/// Numbers that one task of the thread pool should handle at least.
const TASK: usize = 1 << 13;

/// The shapes of a convolution of images `[samples, inner, height, width]` to maps `[samples, outer, rows, columns]`.
/// A transposed convolution is the same with input and output swapped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shapes {
    pub(crate) samples: usize,
    pub(crate) inner: usize,
    pub(crate) outer: usize,
    /// Height and width of the image.
    pub(crate) image: [usize; 2],
    /// Height and width of the map.
    pub(crate) map: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) padding: [usize; 2],
}

/// Whole samples, or some rows of the map of one sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) samples: Range<usize>,
    pub(crate) rows: Range<usize>,
}

impl Shapes {
    /// Numbers under the kernel: the rows of the column matrix.
    pub(crate) fn patch(&self) -> usize {
        self.inner * self.kernel[0] * self.kernel[1]
    }

    /// Positions of a map.
    pub(crate) fn positions(&self) -> usize {
        self.map[0] * self.map[1]
    }

    /// Positions of an image.
    pub(crate) fn pixels(&self) -> usize {
        self.image[0] * self.image[1]
    }

    /// Whether the column matrix of one sample is the image itself.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == 1 && self.padding == [0, 0]
    }

    /// Positions of a group: the columns of its matrix.
    pub(crate) fn width(&self, group: &Group) -> usize {
        group.samples.len() * group.rows.len() * self.map[1]
    }

    /// All positions in groups of about equal size, whose column matrices take at most `limit` numbers each unless a
    /// single row of a map takes more.
    pub(crate) fn groups(&self, limit: usize) -> Vec<Group> {
        let row = (self.patch() * self.map[1]).max(1);
        let sample = row * self.map[0];
        if sample > limit {
            let ranges = evenly(self.map[0], limit / row);
            let whole = (0..self.samples).flat_map(|n| ranges.iter().map(move |rows| (n, rows.clone())));
            return whole.map(|(n, rows)| Group { samples: n..n + 1, rows }).collect();
        }
        let samples = evenly(self.samples, limit / sample.max(1));
        samples.into_iter().map(|samples| Group { samples, rows: 0..self.map[0] }).collect()
    }

    /// Writes the column matrix of a group, `[patch, width]`.
    pub(crate) fn write_columns(&self, image: &[f32], group: &Group, columns: &mut [f32]) {
        let width = self.width(group);
        let taps = self.kernel[0] * self.kernel[1];
        let least = (TASK / width).max(1);
        columns.par_chunks_exact_mut(width).with_min_len(least).enumerate().for_each(|(row, column)| {
            let (channel, tap) = (row / taps, row % taps);
            let parts = column.chunks_exact_mut(group.rows.len() * self.map[1]);
            for (sample, part) in group.samples.clone().zip(parts) {
                let plane = &image[(sample * self.inner + channel) * self.pixels()..][..self.pixels()];
                self.read_tap(plane, tap, group.rows.clone(), part);
            }
        });
    }

    /// Adds the column matrix of a group to the images it was read from.
    pub(crate) fn add_columns(&self, columns: &[f32], group: &Group, image: &mut [f32]) {
        let width = self.width(group);
        let (pixels, taps) = (self.pixels(), self.kernel[0] * self.kernel[1]);
        let part = group.rows.len() * self.map[1];
        let touched = self.inner * pixels * group.samples.start..self.inner * pixels * group.samples.end;
        let least = (TASK / (taps * part)).max(1);
        let planes = image[touched].par_chunks_exact_mut(pixels).with_min_len(least);
        planes.enumerate().for_each(|(index, plane)| {
            let (sample, channel) = (index / self.inner, index % self.inner);
            for tap in 0..taps {
                let values = &columns[(channel * taps + tap) * width + sample * part..][..part];
                self.add_tap(values, tap, group.rows.clone(), plane);
            }
        });
    }

    /// What the kernel's element `tap` sees at each position of `rows`; zero in the padding.
    fn read_tap(&self, plane: &[f32], tap: usize, rows: Range<usize>, values: &mut [f32]) {
        let [vertical, horizontal] = [tap / self.kernel[1], tap % self.kernel[1]];
        let (inside, first) = self.inside(horizontal);
        for (row, values) in rows.zip(values.chunks_exact_mut(self.map[1])) {
            let Some(line) = self.line(row, vertical).map(|line| &plane[line]) else {
                values.fill(0.0);
                continue;
            };
            values[..inside.start].fill(0.0);
            values[inside.end..].fill(0.0);
            let (values, line) = (&mut values[inside.clone()], &line[first..]);
            read_every(self.stride, line, values);
        }
    }

    /// The transpose of [`Self::read_tap`].
    fn add_tap(&self, values: &[f32], tap: usize, rows: Range<usize>, plane: &mut [f32]) {
        let [vertical, horizontal] = [tap / self.kernel[1], tap % self.kernel[1]];
        let (inside, first) = self.inside(horizontal);
        for (row, values) in rows.zip(values.chunks_exact(self.map[1])) {
            let Some(line) = self.line(row, vertical) else { continue };
            let (values, line) = (&values[inside.clone()], &mut plane[line][first..]);
            add_every(self.stride, values, line);
        }
    }

    /// Where in a plane the line lies that a row of the map sees `vertical` below its patch's top; `None` in the padding.
    fn line(&self, row: usize, vertical: usize) -> Option<Range<usize>> {
        let line = (row * self.stride + vertical).checked_sub(self.padding[0])?;
        (line < self.image[0]).then(|| line * self.image[1]..(line + 1) * self.image[1])
    }

    /// The positions of a row that see the image `horizontal` right of their patches' left, and the first column seen.
    fn inside(&self, horizontal: usize) -> (Range<usize>, usize) {
        let end = (self.image[1] + self.padding[1])
            .saturating_sub(horizontal)
            .div_ceil(self.stride)
            .min(self.map[1]);
        let start = self.padding[1].saturating_sub(horizontal).div_ceil(self.stride).min(end);
        let first = if start < end { start * self.stride + horizontal - self.padding[1] } else { 0 };
        (start..end, first)
    }
}

/// Every number of `line` that is so many after the last, from the first on, as many as there are `values`.
#[inline(always)]
pub(crate) fn read_every(stride: usize, line: &[f32], values: &mut [f32]) {
    match stride {
        1 => values.copy_from_slice(&line[..values.len()]),
        2 => {
            let (pairs, single) = line.as_chunks::<2>();
            let rest = values.len().saturating_sub(pairs.len());
            values.iter_mut().zip(pairs).for_each(|(value, pair)| *value = pair[0]);
            if rest > 0 {
                values[pairs.len()..].copy_from_slice(&single[..rest]);
            }
        }
        _ => values.iter_mut().zip(line.iter().step_by(stride)).for_each(|(value, x)| *value = *x),
    }
}

/// The transpose of [`read_every`].
#[inline(always)]
pub(crate) fn add_every(stride: usize, values: &[f32], line: &mut [f32]) {
    match stride {
        1 => line.iter_mut().zip(values).for_each(|(x, value)| *x += value),
        2 => {
            let (pairs, single) = line.as_chunks_mut::<2>();
            pairs.iter_mut().zip(values).for_each(|(pair, value)| pair[0] += value);
            single.iter_mut().zip(values.iter().skip(pairs.len())).for_each(|(x, value)| *x += value);
        }
        _ => line.iter_mut().step_by(stride).zip(values).for_each(|(x, value)| *x += value),
    }
}

/// `0..count` in runs of about equal length, at most `longest` each (at least 1).
fn evenly(count: usize, longest: usize) -> Vec<Range<usize>> {
    let runs = count.div_ceil(longest.max(1));
    (0..runs).map(|run| run * count / runs..(run + 1) * count / runs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_read_and_added_to_where_it_lies() {
        let line: Vec<f32> = (1..=9).map(|n| n as f32).collect();
        for stride in 1..=3 {
            for count in 0..=9_usize.div_ceil(stride) {
                let mut values = vec![0.0; count];
                read_every(stride, &line, &mut values);
                assert!(values.iter().enumerate().all(|(n, value)| *value == line[n * stride]));
                let mut sums = line.clone();
                add_every(stride, &values, &mut sums);
                for (n, sum) in sums.iter().enumerate() {
                    let read = n % stride == 0 && n / stride < count;
                    assert_eq!(*sum, if read { 2.0 * line[n] } else { line[n] });
                }
            }
        }
    }

    #[test]
    fn groups_cover_every_position_once_within_the_limit() {
        for (samples, map, limit) in
            [(8, [16, 16], 40_000), (5, [7, 3], 200), (3, [1, 1], 1), (1, [64, 64], 1 << 20)]
        {
            let kernel = [3, 3];
            let image = map;
            let shapes =
                Shapes { samples, inner: 4, outer: 1, image, map, kernel, stride: 1, padding: [1, 1] };
            let mut seen = vec![0; samples * map[0]];
            for group in shapes.groups(limit) {
                assert!(shapes.width(&group) * shapes.patch() <= limit.max(36 * map[1]));
                assert!(group.samples.len() == 1 || group.rows == (0..map[0]));
                for sample in group.samples.clone() {
                    group.rows.clone().for_each(|row| seen[sample * map[0] + row] += 1);
                }
            }
            assert!(seen.iter().all(|&times| times == 1));
        }
    }
}
