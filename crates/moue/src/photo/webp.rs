//! WebP files, lossless: single images, and the container of animations.

use std::io::{self, Write};

use image_webp::{ColorType, EncodingError, WebPEncoder};

use super::pixels::Pixels;
use super::write::Metadata;

/// The longest side that a WebP can have.
pub(super) const LONGEST_SIDE: u32 = 16_384;

/// Writes a lossless WebP. 16 bits are rounded to 8; grey becomes colour, as the format has nothing else.
pub(super) fn write(output: &mut dyn Write, pixels: &Pixels, metadata: &Metadata) -> io::Result<()> {
    let colour = match pixels.channels() {
        1 => ColorType::L8,
        2 => ColorType::La8,
        3 => ColorType::Rgb8,
        _ => ColorType::Rgba8,
    };
    let mut encoder = WebPEncoder::new(output);
    encoder.set_icc_profile(metadata.icc.unwrap_or_default().to_vec());
    encoder.set_exif_metadata(metadata.exif.unwrap_or_default().to_vec());
    encoder.set_xmp_metadata(metadata.xmp.unwrap_or_default().to_vec());
    let samples = pixels.eight(0..pixels.height());
    encoder.encode(&samples, pixels.width(), pixels.height(), colour).map_err(io_error)
}

/// An image's lossless bitstream: what a file's chunk `VP8L` holds.
pub(super) fn bitstream(samples: &[u8], width: u32, height: u32) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    WebPEncoder::new(&mut file).encode(samples, width, height, ColorType::Rgb8).map_err(io_error)?;
    // "RIFF", size, "WEBP", "VP8L", size.
    let size = match file.get(12..20) {
        Some(&[b'V', b'P', b'8', b'L', a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return Err(io::Error::other("the WebP encoder wrote an unknown structure")),
    };
    file.drain(..20);
    file.truncate(size);
    Ok(file)
}

/// Writes a chunk of a RIFF file, with the byte that makes its length even.
pub(super) fn write_chunk(output: &mut dyn Write, name: &[u8; 4], parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    output.write_all(name)?;
    output.write_all(&u32::try_from(length).map_err(io::Error::other)?.to_le_bytes())?;
    parts.iter().try_for_each(|part| output.write_all(part))?;
    output.write_all(&[0][..length % 2])
}

fn io_error(error: EncodingError) -> io::Error {
    match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
