//! TIFF files, uncompressed (TIFF 6.0), written front to back: header, tags, pixels.

use std::io::{self, Cursor, Write};

use tiff::decoder::{Decoder, DecodingResult, Limits};

use super::exif::{self, bytes_entry};
use super::file::MEMORY_LIMIT;
use super::pixels::{Pixels, Samples};
use super::tags::{BYTE, Entry, ORIENTATION, Order, RATIONAL, UNDEFINED, Value};
use super::turn::Turn;
use super::write::Metadata;

/// Bytes of a strip, about: the size that the specification recommends is from the time of small memories.
const STRIP: u64 = 256 << 10;

const STRIP_OFFSETS: u16 = 273;
const X_RESOLUTION: u16 = 282;

/// Whether these pixels and what belongs to them fit into a TIFF, whose offsets have 32 bits.
pub(super) fn holds(pixels: &Pixels, metadata: &Metadata) -> bool {
    let texts = [metadata.exif, metadata.icc, metadata.xmp, metadata.resources];
    let texts: u64 = texts.into_iter().flatten().map(|text| text.len() as u64).sum();
    pixels.bytes() + texts + (1 << 20) < u64::from(u32::MAX)
}

/// Writes a TIFF with all channels and bits, in the byte order of the EXIF block, else the one of most machines.
///
/// # Errors
/// What the writer says, and when the file would be too large ([`holds`]).
pub(super) fn write(
    output: &mut dyn Write,
    pixels: &Pixels,
    turn: Turn,
    metadata: &Metadata,
) -> io::Result<()> {
    let (order, mut entries) =
        metadata.exif.and_then(exif::tree).unwrap_or((Order { big_endian: false }, Vec::new()));
    describe_storage(&mut entries, order, pixels);
    if !entries.iter().any(|entry| entry.tag == ORIENTATION) {
        entries.push(order.shorts(ORIENTATION, &[turn.exif().into()]));
    }
    let texts =
        [(700, BYTE, metadata.xmp), (34377, BYTE, metadata.resources), (34675, UNDEFINED, metadata.icc)];
    entries.extend(texts.into_iter().filter_map(|(tag, kind, text)| Some(bytes_entry(tag, kind, text?))));

    let row = pixels.bytes() / u64::from(pixels.height());
    let rows = (STRIP / row).clamp(1, pixels.height().into());
    let lengths: Vec<u32> = (0..u64::from(pixels.height()))
        .step_by(rows as usize)
        .map(|start| ((u64::from(pixels.height()) - start).min(rows) * row) as u32)
        .collect();
    entries.push(order.longs(278, &[rows as u32]));
    entries.push(order.longs(279, &lengths));
    entries.push(order.longs(STRIP_OFFSETS, &lengths));

    // The tags' length does not depend on the offsets, which depend on it.
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "a TIFF holds at most 4 GiB");
    let header = order.header();
    let length = order.folder(&entries, header.len()).ok_or_else(too_large)?.len();
    let mut at = (header.len() + length) as u64;
    let mut offsets = Vec::with_capacity(lengths.len());
    for length in &lengths {
        offsets.push(u32::try_from(at).map_err(|_| too_large())?);
        at += u64::from(*length);
    }
    entries.pop();
    entries.push(order.longs(STRIP_OFFSETS, &offsets));
    output.write_all(&header)?;
    output.write_all(&order.folder(&entries, header.len()).ok_or_else(too_large)?)?;
    output.write_all(&pixels.file_bytes(order.big_endian))
}

/// Reads a TIFF of grey with alpha. `None` for any other.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_grey_with_alpha(file: &[u8]) -> Result<Option<Pixels>, String> {
    let Ok(mut decoder) = Decoder::new(Cursor::new(file)) else { return Ok(None) };
    // What the decoder calls two samples of which the first is grey.
    if !matches!(decoder.colortype(), Ok(tiff::ColorType::Multiband { num_samples: 2, .. })) {
        return Ok(None);
    }
    let (width, height) = decoder.dimensions().map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MEMORY_LIMIT as usize;
    limits.intermediate_buffer_size = MEMORY_LIMIT as usize;
    let samples = match decoder.with_limits(limits).read_image().map_err(|error| error.to_string())? {
        DecodingResult::U8(samples) => Samples::Eight(samples),
        DecodingResult::U16(samples) => Samples::Sixteen(samples),
        _ => return Err("grey with alpha of neither 8 nor 16 bits".into()),
    };
    if width == 0 || samples.len() as u64 != 2 * u64::from(width) * u64::from(height) {
        return Err("grey and alpha in separate planes".into());
    }
    Ok(Some(Pixels::new(width, height, 2, samples)))
}

/// Adds the tags that say how the pixels are stored.
fn describe_storage(entries: &mut Vec<Entry>, order: Order, pixels: &Pixels) {
    let channels = pixels.channels();
    entries.extend([
        order.longs(256, &[pixels.width()]),
        order.longs(257, &[pixels.height()]),
        order.shorts(258, &vec![pixels.bits() as u16; channels]),
        order.shorts(259, &[1]), // not compressed
        order.shorts(262, &[if pixels.colours() == 1 { 1 } else { 2 }]), // black is zero, or RGB
        order.shorts(277, &[channels as u16]),
        order.shorts(284, &[1]), // samples of a pixel side by side
        order.shorts(339, &vec![1; channels]),
    ]);
    if pixels.has_alpha() {
        entries.push(order.shorts(338, &[2])); // not multiplied into the colours
    }
    if !entries.iter().any(|entry| entry.tag == X_RESOLUTION) {
        let dots = Value::Bytes([order.long(72), order.long(1)].concat());
        let resolution = |tag| Entry { tag, kind: RATIONAL, value: dots.clone() };
        entries.retain(|entry| !matches!(entry.tag, 283 | 296));
        entries.extend([resolution(X_RESOLUTION), resolution(283), order.shorts(296, &[2])]);
    }
}
