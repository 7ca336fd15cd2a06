//! PNG files.

use std::borrow::Cow;
use std::io::{self, Write};

use png::{BitDepth, ColorType, DeflateCompression, Encoder, EncodingError, Filter, Info};

use super::pixels::Pixels;
use super::write::{Metadata, PngLevel};

/// Writes a PNG with all channels and bits.
pub(super) fn write(
    output: &mut dyn Write,
    pixels: &Pixels,
    level: PngLevel,
    metadata: &Metadata,
) -> io::Result<()> {
    let mut info = Info::with_size(pixels.width(), pixels.height());
    info.color_type = match pixels.channels() {
        1 => ColorType::Grayscale,
        2 => ColorType::GrayscaleAlpha,
        3 => ColorType::Rgb,
        _ => ColorType::Rgba,
    };
    info.bit_depth = if pixels.bits() == 8 { BitDepth::Eight } else { BitDepth::Sixteen };
    info.icc_profile = metadata.icc.map(Cow::Borrowed);
    info.exif_metadata = metadata.exif.map(Cow::Borrowed);
    let mut encoder = Encoder::with_info(output, info).map_err(io_error)?;
    encoder.set_deflate_compression(match level {
        PngLevel::Fast => DeflateCompression::FdeflateUltraFast,
        PngLevel::Default => DeflateCompression::Level(4),
        PngLevel::Best => DeflateCompression::Level(9),
    });
    encoder.set_filter(Filter::Adaptive);
    if let Some(xmp) = metadata.xmp.and_then(|xmp| std::str::from_utf8(xmp).ok()) {
        encoder.add_itxt_chunk("XML:com.adobe.xmp".to_string(), xmp.to_string()).map_err(io_error)?;
    }
    let mut writer = encoder.write_header().map_err(io_error)?;
    writer.write_image_data(&pixels.file_bytes(true)).map_err(io_error)?;
    writer.finish().map_err(io_error)
}

fn io_error(error: EncodingError) -> io::Error {
    match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
