//! A photo's EXIF block, kept byte for byte except for the thumbnail, which shows the face as it was.
//!
//! Offsets in the block stay as they are, so maker notes, whose offsets nobody else knows, stay readable: the thumbnail's
//! bytes are overwritten with zeros, and cut off where they end the block, as they nearly always do.

use std::ops::Range;

use super::tags::{BYTE, Block, EXIF, Entry, GPS, INTEROPERABILITY, ORIENTATION, Order, Raw, Value};
use super::turn::Turn;

/// What stands before the block in a JPEG, and by mistake in some PNG and WebP files.
pub(super) const JPEG_PREFIX: &[u8] = b"Exif\0\0";

/// Tags of a TIFF folder that say how its pixels are stored, or that are kept elsewhere: they describe one file, not
/// the photo. 254 to 284 without those between, tiles, colour map, JPEG tables and the like, SubIFDs, XMP (700), IPTC
/// (33723), Photoshop's resources (34377), ICC profile (34675), Photoshop's layers (37724, 50255).
const STORAGE: [Range<u16>; 17] = [
    254..260,
    262..267,
    273..274,
    277..282,
    284..285,
    288..294,
    301..302,
    317..318,
    320..335,
    338..344,
    347..348,
    512..522,
    529..533,
    700..701,
    33723..33724,
    34377..34378,
    34675..34676,
];
const LAYERS: [u16; 3] = [37724, 50255, 0x501B];

/// Whether a tag of a first folder describes the photo, and not its file.
pub(super) fn describes_the_photo(tag: u16) -> bool {
    !STORAGE.iter().any(|range| range.contains(&tag)) && !LAYERS.contains(&tag)
}

/// The block without its thumbnail. `None` when it is malformed: no TIFF header, or a first folder that leaves it.
pub(super) fn without_thumbnail(exif: &[u8]) -> Option<Vec<u8>> {
    let exif = exif.strip_prefix(JPEG_PREFIX).unwrap_or(exif);
    let block = Block::new(exif)?;
    let (tags, next_at) = block.folder(block.first()?)?;
    let Some(thumbnail) = block.long(next_at).filter(|next| *next != 0) else { return Some(exif.to_vec()) };
    let mut owners = vec![Owner::Nobody; exif.len()];
    mark_thumbnail(&block, thumbnail as usize, &mut owners);
    // What the photo's own tags point to wins, whatever a damaged thumbnail claims.
    let mut photo = |range| mark(&mut owners, range, Owner::Photo);
    photo(0..8);
    mark_folder(&block, block.first()?, &tags, next_at, &mut photo);

    let mut cut = exif.to_vec();
    cut[next_at..next_at + 4].fill(0);
    for (byte, owner) in cut.iter_mut().zip(&owners) {
        if *owner == Owner::Thumbnail {
            *byte = 0;
        }
    }
    let last = cut.iter().zip(&owners).rposition(|(byte, owner)| *owner == Owner::Photo || *byte != 0);
    cut.truncate(last.map_or(0, |last| last + 1));
    Some(cut)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    Photo,
    Thumbnail,
}

fn mark(owners: &mut [Owner], range: Range<usize>, owner: Owner) {
    let end = range.end.min(owners.len());
    if let Some(part) = owners.get_mut(range.start..end) {
        part.fill(owner);
    }
}

/// Marks the folder that follows the photo's own, those that follow it, and what they point to.
fn mark_thumbnail(block: &Block, first: usize, owners: &mut [Owner]) {
    let mut thumbnail = |range| mark(owners, range, Owner::Thumbnail);
    let mut at = first;
    for _ in 0..4 {
        let Some((tags, next_at)) = block.folder(at) else { return };
        thumbnail(at..next_at + 4);
        for tag in &tags {
            thumbnail(tag.start..tag.start.saturating_add(tag.length));
        }
        // The JPEG stream, and the strips of an uncompressed thumbnail, with the tags of their lengths.
        for (place, length) in [(0x0201, 0x0202), (0x0111, 0x0117)] {
            let find = |wanted: u16| tags.iter().find(|tag| tag.tag == wanted);
            let (Some(places), Some(lengths)) = (find(place), find(length)) else { continue };
            for (start, length) in numbers(block, places).zip(numbers(block, lengths)) {
                thumbnail(start..start.saturating_add(length));
            }
        }
        match block.long(next_at) {
            Some(next) if next != 0 => at = next as usize,
            _ => return,
        }
    }
}

/// All numbers of a tag of SHORTs or LONGs.
fn numbers<'a>(block: &'a Block<'a>, tag: &'a Raw) -> impl Iterator<Item = usize> + 'a {
    let step = if tag.kind == super::tags::SHORT { 2 } else { 4 };
    let end = tag.start.saturating_add(tag.length).min(block.bytes.len());
    (tag.start..end).step_by(step).map_while(move |start| {
        block.number(&Raw { start, length: step, ..*tag }).map(|number| number as usize)
    })
}

/// Marks a folder of the photo, its values and the folders in it.
fn mark_folder(block: &Block, at: usize, tags: &[Raw], next_at: usize, photo: &mut impl FnMut(Range<usize>)) {
    photo(at..next_at + 4);
    for tag in tags {
        photo(tag.start..tag.start.saturating_add(tag.length));
        if ![EXIF, GPS, INTEROPERABILITY].contains(&tag.tag) {
            continue;
        }
        let Some(below) = block.number(tag).map(|at| at as usize) else { continue };
        let Some((tags, end)) = block.folder(below) else { continue };
        photo(below..end + 4);
        for tag in &tags {
            photo(tag.start..tag.start.saturating_add(tag.length));
        }
        // Interoperability lies in EXIF's folder.
        for tag in tags.iter().filter(|tag| tag.tag == INTEROPERABILITY) {
            let Some(at) = block.number(tag).map(|at| at as usize) else { continue };
            let Some((tags, end)) = block.folder(at) else { continue };
            photo(at..end + 4);
            tags.iter().for_each(|tag| photo(tag.start..tag.start.saturating_add(tag.length)));
        }
    }
}

/// The turn that the block asks for.
pub(super) fn turn(exif: &[u8]) -> Option<Turn> {
    let block = Block::new(exif)?;
    let (tags, _) = block.folder(block.first()?)?;
    let tag = tags.iter().find(|tag| tag.tag == ORIENTATION)?;
    Turn::from_exif(u16::try_from(block.number(tag)?).ok()?)
}

/// A block that says nothing but how the photo must be turned.
pub(super) fn of_turn(turn: Turn) -> Vec<u8> {
    let order = Order { big_endian: false };
    from_tree(order, &[order.shorts(ORIENTATION, &[turn.exif().into()])]).unwrap_or_default()
}

/// The block of a tree.
fn from_tree(order: Order, tree: &[Entry]) -> Option<Vec<u8>> {
    let mut block = order.header();
    block.extend(order.folder(tree, block.len())?);
    Some(block)
}

/// What a TIFF file says of its photo, as an EXIF block. `None` for BigTIFF, a damaged file, or one that says nothing.
/// Maker notes move; their own offsets, where they have any, do not follow.
pub(super) fn of_tiff(file: &[u8]) -> Option<Vec<u8>> {
    let block = Block::new(file)?;
    let tree = block.tree(block.first()?, &describes_the_photo)?;
    if tree.is_empty() {
        return None;
    }
    from_tree(Order { big_endian: block.big_endian }, &tree)
}

/// The block as a tree, in its byte order, for writing a TIFF. `None` when it is malformed.
pub(super) fn tree(exif: &[u8]) -> Option<(Order, Vec<Entry>)> {
    let block = Block::new(exif)?;
    let tree = block.tree(block.first()?, &describes_the_photo)?;
    Some((Order { big_endian: block.big_endian }, tree))
}

/// Whether a TIFF is a raw camera file: it states a DNG version (50706), or its first image is a reduced one (254) and
/// the real one lies in a folder below (330).
pub(super) fn is_raw(file: &[u8]) -> bool {
    let tags = Block::new(file).and_then(|block| Some((block, block.folder(block.first()?)?.0)));
    let Some((block, tags)) = tags else { return false };
    let find = |wanted: u16| tags.iter().find(|tag| tag.tag == wanted);
    let reduced = find(254).and_then(|tag| block.number(tag)).is_some_and(|kind| kind & 1 == 1);
    find(50706).is_some() || (reduced && find(330).is_some())
}

/// A value of bytes under a tag, for TIFF.
pub(super) fn bytes_entry(tag: u16, kind: u16, bytes: &[u8]) -> Entry {
    debug_assert!(kind == BYTE || kind == super::tags::UNDEFINED);
    Entry { tag, kind, value: Value::Bytes(bytes.to_vec()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tags::{RATIONAL, UNDEFINED};
    use super::*;
    use crate::base::rng::Rng;

    fn text(tag: u16, text: &[u8]) -> Entry {
        Entry { tag, kind: 2, value: Value::Bytes(text.to_vec()) }
    }

    /// A block as a camera writes it: maker, orientation, date, maker note, place, and a thumbnail of 600 bytes.
    pub(in super::super) fn camera(turn: u16, big_endian: bool) -> Vec<u8> {
        let order = Order { big_endian };
        let note = Entry { tag: 0x927C, kind: UNDEFINED, value: Value::Bytes(vec![7; 60]) };
        let interoperability = Value::Folder(vec![text(1, b"R98\0")]);
        let exif = vec![
            text(0x9003, b"2024:05:06 07:08:09\0"),
            note,
            Entry { tag: INTEROPERABILITY, kind: 4, value: interoperability },
        ];
        let degrees: Vec<u8> = [48, 1, 8, 1, 0, 1].into_iter().flat_map(|n| order.long(n)).collect();
        let gps = vec![text(1, b"N\0"), Entry { tag: 2, kind: RATIONAL, value: Value::Bytes(degrees) }];
        let tree = [
            text(0x010F, b"Mouse & Sons\0"),
            order.shorts(ORIENTATION, &[turn]),
            Entry { tag: EXIF, kind: 4, value: Value::Folder(exif) },
            Entry { tag: GPS, kind: 4, value: Value::Folder(gps) },
        ];
        let mut block = from_tree(order, &tree).unwrap();
        let end = block.len();
        let (_, next_at) = Block::new(&block).unwrap().folder(8).unwrap();
        block[next_at..next_at + 4].copy_from_slice(&order.long(end as u32));
        let size = order.folder(&[order.longs(0x0201, &[0]), order.longs(0x0202, &[0])], end).unwrap().len();
        let places = [order.longs(0x0201, &[(end + size) as u32]), order.longs(0x0202, &[600])];
        block.extend(order.folder(&places, end).unwrap());
        block.extend(b"\xFF\xD8THUMBNAIL");
        block.resize(end + size + 600, 0xAB);
        block
    }

    fn read(block: &[u8]) -> Vec<(exif::In, u16, String)> {
        let exif = exif::Reader::new().read_raw(block.to_vec()).unwrap();
        exif.fields().map(|f| (f.ifd_num, f.tag.number(), f.display_value().to_string())).collect()
    }

    #[test]
    fn the_thumbnail_goes_and_everything_else_stays() {
        for big_endian in [false, true] {
            let block = camera(6, big_endian);
            let cut = without_thumbnail(&[JPEG_PREFIX, &block].concat()).unwrap();
            assert!(cut.len() + 600 < block.len());
            let primary: Vec<_> = read(&block).into_iter().filter(|f| f.0 == exif::In::PRIMARY).collect();
            assert_eq!(read(&cut), primary);
            assert_eq!(primary.len(), 7);
            assert_eq!(turn(&cut), Turn::from_exif(6));
            assert_eq!(without_thumbnail(&cut).unwrap(), cut);
        }
    }

    #[test]
    fn a_thumbnail_in_the_middle_is_overwritten_and_no_offset_moves() {
        let order = Order { big_endian: false };
        let mut block = camera(1, false);
        // A maker's text behind the thumbnail.
        let place = block.len() as u32;
        block.extend(b"behind the thumbnail\0");
        let (tags, _) = Block::new(&block).unwrap().folder(8).unwrap();
        let maker = tags.iter().position(|tag| tag.tag == 0x010F).unwrap();
        block[10 + 12 * maker + 4..][..4].copy_from_slice(&order.long(21));
        block[10 + 12 * maker + 8..][..4].copy_from_slice(&order.long(place));
        let cut = without_thumbnail(&block).unwrap();
        assert_eq!(cut.len(), block.len());
        assert!(!cut.windows(9).any(|part| part == b"THUMBNAIL"));
        assert!(read(&cut).iter().any(|field| field.2.contains("behind")));
    }

    #[test]
    fn damaged_blocks_are_refused_or_read_without_a_panic() {
        let good = camera(3, true);
        for round in 0..4000 {
            let mut rng = Rng::stream(3, "exif", round);
            let mut block = good.clone();
            for _ in 0..1 + rng.below(12) {
                let at = rng.below(block.len().min(260));
                block[at] = if rng.coin() { 0xFF } else { rng.below(256) as u8 };
            }
            block.truncate(if rng.coin() { block.len() } else { rng.below(block.len()) });
            if let Some(cut) = without_thumbnail(&block) {
                assert!(cut.len() <= block.len());
                turn(&cut);
                tree(&cut);
            }
            of_tiff(&block);
            is_raw(&block);
        }
        for length in 0..40 {
            let noise: Vec<u8> = (0..length).map(|n| (n * 37) as u8).collect();
            assert_eq!(without_thumbnail(&noise), None);
        }
    }

    #[test]
    fn a_block_of_the_turn_alone_is_read_by_others() {
        for value in 1..=8 {
            let turned = Turn::from_exif(value).unwrap();
            assert_eq!(turn(&of_turn(turned)), Some(turned));
            let orientation = image::metadata::Orientation::from_exif_chunk(&of_turn(turned));
            assert_eq!(orientation, Some(turned.orientation()));
        }
    }
}
