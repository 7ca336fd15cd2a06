//! JPEG files: an encoder in stripes that run side by side, and the segments of metadata around them.

use std::io::{self, Write};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rayon::prelude::*;

use super::exif::JPEG_PREFIX;
use super::pixels::Pixels;
use super::write::Metadata;

/// The longest side that a JPEG can have.
pub(super) const LONGEST_SIDE: u32 = 65_535;

/// The most that a segment can hold beside its length.
const SEGMENT: usize = 65_533;

/// The identifier before an XMP packet (XMP specification, part 3, section 1.1.3).
const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// The identifier before Photoshop's resources, IPTC among them.
pub(super) const RESOURCES_PREFIX: &[u8] = b"Photoshop 3.0\0";

/// Whether an EXIF block fits into its one segment.
pub(super) fn holds_exif(exif: &[u8]) -> bool {
    exif.len() + JPEG_PREFIX.len() <= SEGMENT
}

/// Whether an XMP packet fits into its one segment.
pub(super) fn holds_xmp(xmp: &[u8]) -> bool {
    xmp.len() + XMP_PREFIX.len() <= SEGMENT
}

/// Writes a baseline JPEG of full colour resolution (4:4:4), or of grey pixels. 16 bits are rounded to 8, and alpha is
/// laid over white.
///
/// The image is encoded in stripes on all threads of the pool; restart markers stand between them, as ITU-T T.81,
/// section F.1.1.5 has it. The stripes depend on the image alone, so the bytes do not depend on the threads.
pub(super) fn write(
    output: &mut dyn Write,
    pixels: &Pixels,
    quality: u8,
    metadata: &Metadata,
) -> io::Result<()> {
    const BLOCK: u32 = 8;
    let blocks_a_row = pixels.width().div_ceil(BLOCK);
    // A restart interval is a number of 16 bits.
    let rows_of_blocks = (u32::from(u16::MAX) / blocks_a_row).min(16);
    let starts: Vec<u32> = (0..pixels.height()).step_by((rows_of_blocks * BLOCK) as usize).collect();
    let stripes: Vec<Vec<u8>> = starts
        .par_iter()
        .map(|start| encode(pixels, *start..(start + rows_of_blocks * BLOCK).min(pixels.height()), quality))
        .collect::<io::Result<_>>()?;

    output.write_all(b"\xFF\xD8")?;
    write_metadata(output, metadata)?;
    let (headers, _) = Parts::of(&stripes[0])?.split_at_scan();
    output.write_all(&with_height(headers, pixels.height() as u16)?)?;
    if stripes.len() > 1 {
        let interval = (blocks_a_row * rows_of_blocks) as u16;
        write_segment(output, 0xDD, &[&interval.to_be_bytes()])?;
    }
    for (index, stripe) in stripes.iter().enumerate() {
        let (_, scan) = Parts::of(stripe)?.split_at_scan();
        if index == 0 {
            output.write_all(scan.header)?;
        } else {
            output.write_all(&[0xFF, 0xD0 + ((index - 1) % 8) as u8])?;
        }
        output.write_all(scan.data)?;
    }
    output.write_all(b"\xFF\xD9")
}

/// Some rows as a JPEG of their own.
fn encode(pixels: &Pixels, rows: std::ops::Range<u32>, quality: u8) -> io::Result<Vec<u8>> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    let colour = if pixels.colours() == 1 { ColorType::Luma } else { ColorType::Rgb };
    let height = (rows.end - rows.start) as u16;
    encoder
        .encode(&pixels.opaque_eight(rows), pixels.width() as u16, height, colour)
        .map_err(io::Error::other)?;
    Ok(jpeg)
}

/// A JPEG of one scan, taken apart.
struct Parts<'a> {
    /// Everything between the start marker and the scan's header, APP segments left out.
    headers: Vec<&'a [u8]>,
    scan: Scan<'a>,
}

struct Scan<'a> {
    header: &'a [u8],
    data: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(jpeg: &'a [u8]) -> io::Result<Self> {
        let damaged = || io::Error::other("the JPEG encoder wrote an unknown structure");
        let mut headers = Vec::new();
        let mut at = 2;
        loop {
            let Some(&[0xFF, marker, high, low]) = jpeg.get(at..at + 4) else { return Err(damaged()) };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let segment = jpeg.get(at..end).ok_or_else(damaged)?;
            if marker == 0xDA {
                let data = jpeg[end..].strip_suffix(b"\xFF\xD9").ok_or_else(damaged)?;
                return Ok(Self { headers, scan: Scan { header: segment, data } });
            }
            if !(0xE0..=0xEF).contains(&marker) {
                headers.push(segment);
            }
            at = end;
        }
    }

    fn split_at_scan(self) -> (Vec<&'a [u8]>, Scan<'a>) {
        (self.headers, self.scan)
    }
}

/// The headers with the whole image's height in the frame's.
fn with_height(headers: Vec<&[u8]>, height: u16) -> io::Result<Vec<u8>> {
    let mut bytes = headers.concat();
    let mut at = 0;
    for header in headers {
        if header[1] == 0xC0 {
            // Marker, length, precision, height.
            bytes[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
            return Ok(bytes);
        }
        at += header.len();
    }
    Err(io::Error::other("the JPEG encoder wrote no baseline frame"))
}

/// JFIF's header, EXIF, XMP, Photoshop's resources and the ICC profile, as far as segments can hold them.
fn write_metadata(output: &mut dyn Write, metadata: &Metadata) -> io::Result<()> {
    write_segment(output, 0xE0, &[b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"])?;
    if let Some(exif) = metadata.exif.filter(|exif| holds_exif(exif)) {
        write_segment(output, 0xE1, &[JPEG_PREFIX, exif])?;
    }
    if let Some(xmp) = metadata.xmp.filter(|xmp| holds_xmp(xmp)) {
        write_segment(output, 0xE1, &[XMP_PREFIX, xmp])?;
    }
    for part in metadata.resources.into_iter().flat_map(|all| all.chunks(SEGMENT - RESOURCES_PREFIX.len())) {
        write_segment(output, 0xED, &[RESOURCES_PREFIX, part])?;
    }
    // ICC.1:2022, annex B.4: parts that count themselves.
    let parts = metadata.icc.unwrap_or(&[]).chunks(SEGMENT - 14);
    if let Ok(count) = u8::try_from(parts.len()) {
        for (number, part) in (1..=count).zip(parts) {
            write_segment(output, 0xE2, &[b"ICC_PROFILE\0", &[number, count], part])?;
        }
    }
    Ok(())
}

fn write_segment(output: &mut dyn Write, marker: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u16::try_from(length).map_err(io::Error::other)?;
    output.write_all(&[0xFF, marker])?;
    output.write_all(&length.to_be_bytes())?;
    parts.iter().try_for_each(|part| output.write_all(part))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn scene(width: u32, height: u32) -> Pixels {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x / 2) as u8, (y / 3) as u8, ((x + y) / 5) as u8]))
            .into()
    }

    #[test]
    fn stripes_decode_to_what_one_piece_does() {
        for (width, height) in [(1, 1), (250, 127), (333, 128), (64, 129), (17, 1500)] {
            let pixels = scene(width, height);
            let mut striped = Vec::new();
            write(&mut striped, &pixels, 95, &Metadata::default()).unwrap();
            let whole = encode(&pixels, 0..height, 95).unwrap();
            let decode = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_rgb8();
            assert_eq!(decode(&striped), decode(&whole), "{width} x {height}");
        }
    }

    #[test]
    fn the_bytes_are_the_same_at_any_number_of_threads() {
        let pixels = scene(300, 700);
        let bytes = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut bytes = Vec::new();
            pool.install(|| write(&mut bytes, &pixels, 90, &Metadata::default())).unwrap();
            bytes
        };
        assert_eq!(bytes(1), bytes(3));
    }

    #[test]
    fn the_widest_jpeg_is_read_back() {
        let pixels = Pixels::new(65_535, 70, 1, super::super::pixels::Samples::Eight(vec![90; 65_535 * 70]));
        let mut bytes = Vec::new();
        write(&mut bytes, &pixels, 50, &Metadata::default()).unwrap();
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!((image.width(), image.height(), image.color()), (65_535, 70, image::ColorType::L8));
    }
}
