//! NumPy's archives of arrays, as far as statistics need them: f64 and f32 in C order, one or two dimensions.

use std::io::Cursor;

use zip::ZipArchive;

use crate::weights::archive::zip_member;

/// Reads arrays by their names from an `.npz`.
///
/// # Errors
/// What is wrong with the archive or an array.
pub(super) fn read<const N: usize>(bytes: &[u8], names: [&str; N]) -> Result<[Vec<f64>; N], String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let mut arrays = [const { Vec::new() }; N];
    for (array, name) in arrays.iter_mut().zip(names) {
        *array = numbers(&zip_member(&mut archive, &format!("{name}.npy"))?)
            .map_err(|p| format!("{name}: {p}"))?;
    }
    Ok(arrays)
}

/// The numbers of an `.npy`: magic, version, length of the header, a Python dictionary, data.
fn numbers(bytes: &[u8]) -> Result<Vec<f64>, String> {
    let cut_off = || "it is cut off".to_string();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it is no NumPy array")?;
    let (length, start) = match rest.first() {
        Some(1) => (rest.get(2..4).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]]))), 4),
        _ => (rest.get(2..6).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize), 6),
    };
    let length = length.ok_or_else(cut_off)?;
    let header = rest.get(start..start + length).ok_or_else(cut_off)?;
    let header = String::from_utf8_lossy(header);
    let data = &rest[start + length..];
    // Symmetric matrices and vectors are the same in both orders; only the shape's numbers are needed.
    let size = shape(&header)?.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    let (values, width): (Vec<f64>, _) = match kind(&header) {
        Some("<f8") => (doubles(data), 8),
        Some("<f4") => {
            (data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect(), 4)
        }
        other => return Err(format!("its numbers are {}, not <f8 or <f4", other.unwrap_or("unknown"))),
    };
    if size == Some(values.len()) && values.len() * width == data.len() { Ok(values) } else { Err(cut_off()) }
}

/// What stands after `'descr':` between quotes.
fn kind(header: &str) -> Option<&str> {
    header.split_once("'descr':")?.1.split('\'').nth(1)
}

/// What stands after `'shape':` between brackets.
fn shape(header: &str) -> Result<Vec<usize>, String> {
    let shape = header.split_once("'shape':").and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'));
    let sides = shape.map(|(sides, _)| sides.split(',').map(str::trim).filter(|side| !side.is_empty()));
    let sides = sides.ok_or("its header has no shape")?;
    sides.map(|side| side.parse().map_err(|_| format!("its shape has '{side}'"))).collect()
}

/// Little-endian f64.
pub(super) fn doubles(bytes: &[u8]) -> Vec<f64> {
    let number = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    bytes.chunks_exact(8).map(number).collect()
}
