//! Animations: GIF and lossless WebP, repeating forever.

use std::io::{self, Write};
use std::path::Path;

use color_quant::NeuQuant;
use image::{Rgb, RgbImage};
use rayon::prelude::*;

use super::{webp, xmp};
use crate::base::error::{Error, Result};
use crate::base::file::{Disk, write_whole};

/// The longest side of an animation, for both formats.
pub const LONGEST_SIDE: u32 = 16_384;

/// Writes an animation that repeats forever, whole or not at all; `.gif` or `.webp` at the end of the file's name says
/// which format. Frame n is shown for `milliseconds[n % milliseconds.len()]`: one number for all, or one for each.
///
/// A GIF has one palette of 256 colours for all frames, so that still parts stay still, and a mild ordered dither; its
/// times are rounded to hundredths of a second, at least two of them, because browsers slow down faster ones. A WebP is
/// exact. Only what changes from frame to frame is stored. `mark`, a model's name, says in the file's XMP packet that the
/// model made a part of it; `None` leaves the packet out.
///
/// # Errors
/// [`Error::Photo`] when the name ends otherwise, there is no frame or no time, frames differ in size, or a side is
/// longer than [`LONGEST_SIDE`]; [`Error::Write`] when the file cannot be written.
pub fn write_animation(
    disk: &dyn Disk,
    path: &Path,
    frames: &[RgbImage],
    milliseconds: &[u32],
    mark: Option<&str>,
) -> Result<()> {
    check_name(path)?;
    let is_gif = ending_of(path) == "gif";
    let fail = |problem: &str, hint: &str| Err(Error::photo(path, problem, hint));
    let Some(first) = frames.first().filter(|_| !milliseconds.is_empty()) else {
        return fail("an animation needs a frame, and a time to show it", "give at least one of each");
    };
    if frames.iter().any(|frame| frame.dimensions() != first.dimensions()) {
        return fail("the frames of an animation have different sizes", "bring them to one size");
    }
    if first.width().max(first.height()) > LONGEST_SIDE || first.is_empty() {
        return fail("an animation has 1 to 16,384 pixels a side", "reduce its frames first");
    }
    let times: Vec<u32> = milliseconds.iter().copied().cycle().take(frames.len()).collect();
    let packet = mark.map(|model| xmp::marked(None, model));
    write_whole(disk, path, |output| match is_gif {
        true => write_gif(output, frames, &times, packet.as_deref()),
        false => write_webp(output, frames, &times, packet.as_deref()),
    })
}

/// Whether a file's name asks for a format of animations.
///
/// # Errors
/// [`Error::Photo`] when it ends neither in `.gif` nor in `.webp`.
pub fn check_name(path: &Path) -> Result<()> {
    let ending = ending_of(path);
    if ["gif", "webp"].contains(&ending.as_str()) {
        return Ok(());
    }
    let problem = format!("no animation format is known by the name ending {ending:?}");
    Err(Error::photo(path, problem, "let the name end in .gif or .webp"))
}

fn ending_of(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// A rectangle of pixels: left, top, width, height.
type Part = [u32; 4];

/// The smallest part that holds every pixel in which two images of `channels` bytes a pixel differ, its left and top
/// even, as WebP wants them. One pixel where none does.
fn changed(before: &[u8], now: &[u8], width: u32, channels: usize) -> Part {
    let row_bytes = width as usize * channels;
    let (mut left, mut right, mut top, mut bottom) = (width, 0, None, 0);
    for (y, (before, now)) in before.chunks_exact(row_bytes).zip(now.chunks_exact(row_bytes)).enumerate() {
        let differs = |(before, now): (&[u8], &[u8])| before != now;
        let mut pixels = before.chunks_exact(channels).zip(now.chunks_exact(channels));
        if let Some(first) = pixels.clone().position(differs) {
            let last = pixels.rposition(differs).unwrap_or(first);
            left = left.min(first as u32);
            right = right.max(last as u32);
            top.get_or_insert(y as u32);
            bottom = y as u32;
        }
    }
    let Some(top) = top else { return [0, 0, 1, 1] };
    let (left, top) = (left & !1, top & !1);
    [left, top, right - left + 1, bottom - top + 1]
}

/// What a part holds, row after row.
fn cut(image: &[u8], width: u32, channels: usize, [left, top, part_width, part_height]: Part) -> Vec<u8> {
    let rows = image.chunks_exact(width as usize * channels).skip(top as usize).take(part_height as usize);
    let span = left as usize * channels..(left + part_width) as usize * channels;
    rows.flat_map(|row| &row[span.clone()]).copied().collect()
}

/// Every frame's part that differs from the frame before, the first one whole.
fn parts(frames: &[impl AsRef<[u8]> + Sync], (width, height): (u32, u32), channels: usize) -> Vec<Part> {
    let part = |index: usize| match index {
        0 => [0, 0, width, height],
        _ => changed(frames[index - 1].as_ref(), frames[index].as_ref(), width, channels),
    };
    (0..frames.len()).into_par_iter().map(part).collect()
}

// WebP

/// The container by hand (RFC 9649, section 2.7), around the bitstreams of the encoder, which knows single images only.
fn write_webp(
    output: &mut dyn Write,
    frames: &[RgbImage],
    times: &[u32],
    packet: Option<&[u8]>,
) -> io::Result<()> {
    let (width, height) = frames[0].dimensions();
    let raw: Vec<&[u8]> = frames.iter().map(|frame| frame.as_raw().as_slice()).collect();
    let parts = parts(&raw, (width, height), 3);
    let streams: Vec<Vec<u8>> = raw
        .par_iter()
        .zip(&parts)
        .map(|(frame, part)| webp::bitstream(&cut(frame, width, 3, *part), part[2], part[3]))
        .collect::<io::Result<_>>()?;

    let padded = |length: usize| length.next_multiple_of(2);
    let frame_length = |stream: &Vec<u8>| 16 + 8 + padded(stream.len());
    let packet_length = packet.map_or(0, |packet| 8 + padded(packet.len()));
    let frames_length: usize = streams.iter().map(|stream| 8 + frame_length(stream)).sum();
    let length = 4 + (8 + 10) + (8 + 6) + frames_length + packet_length;
    output.write_all(b"RIFF")?;
    output.write_all(&u32::try_from(length).map_err(io::Error::other)?.to_le_bytes())?;
    output.write_all(b"WEBP")?;
    const ANIMATED: u8 = 2;
    const HAS_XMP: u8 = 4;
    let flags = ANIMATED | if packet.is_some() { HAS_XMP } else { 0 };
    webp::write_chunk(output, b"VP8X", &[&[flags, 0, 0, 0], &three(width - 1), &three(height - 1)])?;
    // A white background, which no frame leaves uncovered, and no end.
    webp::write_chunk(output, b"ANIM", &[&[255; 4], &[0; 2]])?;
    for ((stream, [left, top, part_width, part_height]), time) in streams.iter().zip(parts).zip(times) {
        // Neither blended with the frame before, nor removed after it.
        const REPLACES: u8 = 2;
        let mut header = Vec::with_capacity(24);
        for number in [left / 2, top / 2, part_width - 1, part_height - 1, *time] {
            header.extend(three(number.min(0xFF_FFFF)));
        }
        header.push(REPLACES);
        header.extend(b"VP8L");
        header.extend((stream.len() as u32).to_le_bytes());
        webp::write_chunk(output, b"ANMF", &[&header, stream, &[0][..stream.len() % 2]])?;
    }
    packet.map_or(Ok(()), |packet| webp::write_chunk(output, b"XMP ", &[packet]))
}

/// A number of 24 bits.
fn three(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

// GIF

fn write_gif(
    output: &mut dyn Write,
    frames: &[RgbImage],
    times: &[u32],
    packet: Option<&[u8]>,
) -> io::Result<()> {
    let (width, height) = frames[0].dimensions();
    let palette = Palette::of(frames);
    let indices: Vec<Vec<u8>> = frames.par_iter().map(|frame| palette.indices(frame)).collect();
    let parts = parts(&indices, (width, height), 1);
    let delays = hundredths(times);
    let encoded: Vec<gif::Frame> = (0..frames.len())
        .into_par_iter()
        .map(|index| {
            let [left, top, part_width, part_height] = parts[index];
            let mut frame = gif::Frame {
                delay: delays[index],
                left: left as u16,
                top: top as u16,
                width: part_width as u16,
                height: part_height as u16,
                buffer: cut(&indices[index], width, 1, parts[index]).into(),
                ..gif::Frame::default()
            };
            frame.make_lzw_pre_encoded();
            frame
        })
        .collect();
    let mut encoder =
        gif::Encoder::new(output, width as u16, height as u16, &palette.colours).map_err(gif_error)?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(gif_error)?;
    if let Some(packet) = packet {
        write_gif_packet(encoder.get_mut(), packet)?;
    }
    encoded.iter().try_for_each(|frame| encoder.write_lzw_pre_encoded_frame(frame)).map_err(gif_error)
}

/// An application extension (XMP Specification Part 3, 1.1.2). The packet stands as it is, not in blocks: who reads it
/// as blocks takes each of its bytes for a length, and falls from anywhere into the 258 bytes after it, which lead to
/// the end.
fn write_gif_packet(output: &mut dyn Write, packet: &[u8]) -> io::Result<()> {
    output.write_all(b"\x21\xFF\x0BXMP DataXMP")?;
    output.write_all(packet)?;
    let trailer: Vec<u8> = std::iter::once(1).chain((0..=255).rev()).chain([0]).collect();
    output.write_all(&trailer)
}

fn gif_error(error: gif::EncodingError) -> io::Error {
    match error {
        gif::EncodingError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// Times in hundredths of a second, at least two, such that the sum stays as near as it can.
fn hundredths(times: &[u32]) -> Vec<u16> {
    let mut owed = 0i64;
    let round = |time: &u32| {
        owed += i64::from(*time);
        let delay = ((owed + 5) / 10).clamp(2, i64::from(u16::MAX));
        // A time that had to be lengthened is not taken from the next.
        owed = (owed - 10 * delay).max(-5);
        delay as u16
    };
    times.iter().map(round).collect()
}

/// 256 colours for all frames, and for every colour the nearest of them.
struct Palette {
    /// Red, green, blue, and so on.
    colours: Vec<u8>,
    /// The nearest colour of every cell of the colour cube.
    nearest: Vec<u8>,
}

/// Bits a colour of a cell of the cube.
const BITS: u32 = 6;

impl Palette {
    /// Learnt from pixels of all frames (NeuQuant), a hundred thousand at most.
    fn of(frames: &[RgbImage]) -> Self {
        let all: usize = frames.iter().map(|frame| frame.len() / 3).sum();
        // An odd step does not keep to the columns of images whose width is even.
        let step = (all / 100_000).max(1) | 1;
        let pixels = frames.iter().flat_map(|frame| frame.pixels()).step_by(step);
        let sample: Vec<u8> = pixels.flat_map(|Rgb([red, green, blue])| [*red, *green, *blue, 255]).collect();
        // The network wants a few hundred pixels at least.
        let sample = sample.repeat(1024usize.div_ceil(sample.len() / 4));
        let colours = NeuQuant::new(1, 256, &sample).color_map_rgb();
        let side = 1usize << BITS;
        let value = |cell: usize| ((cell as i32) << (8 - BITS)) + (1 << (7 - BITS));
        let nearest = (0..side * side * side)
            .into_par_iter()
            .map(|cell| {
                let wanted = [cell >> (2 * BITS), (cell >> BITS) % side, cell % side].map(value);
                let distance = |colour: &[u8]| -> i32 {
                    // The eye's weights, about.
                    let squares = [3, 6, 1].into_iter().zip(wanted).zip(colour);
                    squares
                        .map(|((weight, wanted), colour)| weight * (wanted - i32::from(*colour)).pow(2))
                        .sum()
                };
                let nearest = colours.chunks_exact(3).enumerate().min_by_key(|(_, colour)| distance(colour));
                nearest.map_or(0, |(index, _)| index as u8)
            })
            .collect();
        Self { colours, nearest }
    }

    /// The frame in this palette. The dither is a fixed pattern of plus and minus three levels: it breaks up bands of
    /// skin, and does not move.
    fn indices(&self, frame: &RgbImage) -> Vec<u8> {
        const PATTERN: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
        frame
            .enumerate_pixels()
            .map(|(x, y, pixel)| {
                let shift = (2 * PATTERN[(y % 4) as usize][(x % 4) as usize] - 15) * 3 / 15;
                let [red, green, blue] =
                    pixel.0.map(|value| ((i32::from(value) + shift).clamp(0, 255) >> (8 - BITS)) as usize);
                self.nearest[(red << (2 * BITS)) | (green << BITS) | blue]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use image::AnimationDecoder;
    use image::codecs::webp::WebPDecoder;

    use super::*;
    use crate::base::file::FileSystem;

    /// A grey ramp on which a small patch changes.
    fn frames() -> Vec<RgbImage> {
        let frame = |n: u32| {
            RgbImage::from_fn(90, 61, |x, y| {
                let inside = (31..50).contains(&x) && (21..33).contains(&y);
                if inside { Rgb([200, (40 * n) as u8, 90]) } else { Rgb([(x * 2) as u8, (y * 3) as u8, 100]) }
            })
        };
        (0..5).map(frame).collect()
    }

    #[test]
    fn a_webp_holds_every_frame_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.webp");
        let mut frames = frames();
        frames.push(frames[4].clone()); // nothing changes
        write_animation(&FileSystem, &path, &frames, &[500, 40], Some("a model")).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize, bytes.len() - 8);
        let packet = image_webp::WebPDecoder::new(Cursor::new(&bytes)).unwrap().xmp_metadata().unwrap();
        assert_eq!(packet, Some(xmp::marked(None, "a model")));
        let decoder = WebPDecoder::new(Cursor::new(&bytes)).unwrap();
        assert!(decoder.has_animation());
        assert!(matches!(decoder.loop_count(), image::metadata::LoopCount::Infinite));
        let decoded = decoder.into_frames().collect_frames().unwrap();
        assert_eq!(decoded.len(), 6);
        for (index, (frame, decoded)) in frames.iter().zip(&decoded).enumerate() {
            assert_eq!(decoded.delay().numer_denom_ms(), ([500, 40][index % 2], 1));
            let decoded = image::DynamicImage::ImageRgba8(decoded.buffer().clone()).into_rgb8();
            assert_eq!(&decoded, frame, "frame {index}");
        }
    }

    #[test]
    fn a_gif_holds_every_frame_nearly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.GIF");
        let frames = frames();
        write_animation(&FileSystem, &path, &frames, &[33], Some("a model")).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(Cursor::new(&bytes)).unwrap();
        let mut canvas = RgbImage::new(90, 61);
        let (mut count, mut time) = (0, 0);
        while let Some(part) = decoder.read_next_frame().unwrap() {
            for (index, pixel) in part.buffer.chunks_exact(4).enumerate() {
                let (x, y) = (index as u32 % u32::from(part.width), index as u32 / u32::from(part.width));
                canvas.put_pixel(
                    x + u32::from(part.left),
                    y + u32::from(part.top),
                    Rgb([pixel[0], pixel[1], pixel[2]]),
                );
            }
            assert!(count == 0 || part.width <= 20 && part.height <= 13, "only what changes");
            let error: u64 =
                canvas.iter().zip(frames[count].iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            assert!(error < 6 * canvas.len() as u64, "frame {count}: {}", error as f64 / canvas.len() as f64);
            time += part.delay;
            count += 1;
        }
        assert_eq!((count, time), (5, 17), "165 ms");
        assert_eq!(decoder.xmp_metadata(), Some(xmp::marked(None, "a model").as_slice()));
        assert_eq!(decoder.repeat(), gif::Repeat::Infinite);
    }

    #[test]
    fn times_add_up() {
        assert_eq!(hundredths(&[33; 6]), [3, 4, 3, 3, 4, 3]);
        assert_eq!(hundredths(&[1, 100, 5]), [2, 10, 2]);
        assert_eq!(hundredths(&[u32::MAX]), [u16::MAX]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        let write = |name: &str, frames: &[RgbImage], times: &[u32]| {
            write_animation(&FileSystem, Path::new(name), frames, times, None).unwrap_err().to_string()
        };
        let one = [RgbImage::new(2, 2)];
        assert!(write("a.mp4", &one, &[9]).contains("mp4"));
        assert!(write("a.gif", &[], &[9]).contains("frame"));
        assert!(write("a.gif", &one, &[]).contains("time"));
        assert!(write("a.gif", &[RgbImage::new(2, 2), RgbImage::new(3, 2)], &[9]).contains("sizes"));
        assert!(write("a.webp", &[RgbImage::new(0, 0)], &[9]).contains("pixels"));
    }

    #[test]
    fn one_pixel_is_an_animation() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.gif", "a.webp"] {
            let path = folder.path().join(name);
            write_animation(&FileSystem, &path, &[RgbImage::new(1, 1), RgbImage::new(1, 1)], &[9], None)
                .unwrap();
            assert_eq!(image::image_dimensions(&path).unwrap_or((1, 1)), (1, 1));
        }
    }
}
