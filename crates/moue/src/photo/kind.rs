//! What a file is, by its first bytes: which image format, or what else somebody took for a photo.

use image::ImageFormat;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A format that is read here.
    Image(ImageFormat),
    /// Something known that is no still photo: what it is, and what to do.
    Other(&'static str, &'static str),
    /// Nothing known.
    Unknown,
}

const FRAME: &str = "take one frame of it as PNG, for example: ffmpeg -i FILE -frames:v 1 frame.png";
const CONVERT: &str = "convert it to JPEG, PNG or TIFF with an image program, and name the result";
const DEVELOP: &str = "develop it to TIFF, PNG or JPEG with a raw converter, and name the result";
const SAVE_AGAIN: &str = "name the photo itself: PNG, JPEG, WebP, TIFF and BMP are read";

/// Tells what a file is from its content.
pub(super) fn of(bytes: &[u8]) -> Kind {
    use Kind::{Image, Other};
    let at = |place: usize, text: &[u8]| bytes.get(place..).is_some_and(|rest| rest.starts_with(text));
    let starts = |texts: &[&[u8]]| texts.iter().any(|text| at(0, text));
    if at(0, b"\xFF\xD8\xFF") {
        return Image(ImageFormat::Jpeg);
    }
    if at(0, b"\x89PNG\r\n\x1A\n") {
        let animated = "this is an animated PNG, not a photo";
        return if is_animated_png(bytes) { Other(animated, FRAME) } else { Image(ImageFormat::Png) };
    }
    if at(0, b"RIFF") {
        return match bytes.get(8..12) {
            Some(b"WEBP") if at(12, b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0) => {
                Other("this is an animated WebP, not a photo", FRAME)
            }
            Some(b"WEBP") => Image(ImageFormat::WebP),
            Some(b"AVI ") => Other("this is a video (AVI), not a photo", FRAME),
            _ => Other("this is a sound or another RIFF file, not a photo", SAVE_AGAIN),
        };
    }
    if at(4, b"ftyp") {
        return base_media(bytes);
    }
    if starts(&[b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]) {
        let raw = at(8, b"CR");
        return if raw { Other("this is a raw camera file", DEVELOP) } else { Image(ImageFormat::Tiff) };
    }
    if starts(&[b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILMCCD-RAW", b"FOVb"]) {
        return Other("this is a raw camera file", DEVELOP);
    }
    if starts(&[b"GIF87a", b"GIF89a"]) {
        return Other("this is a GIF, which holds an animation or at most 256 colours, not a photo", FRAME);
    }
    if at(0, b"\x1A\x45\xDF\xA3") {
        return Other("this is a video (Matroska or WebM), not a photo", FRAME);
    }
    if starts(&[b"\0\0\x01\xBA", b"\0\0\x01\xB3", b"FLV\x01", b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", b"OggS"])
        || (at(0, b"\x47") && at(188, b"\x47"))
    {
        return Other("this is a video or a sound, not a photo", FRAME);
    }
    if starts(&[b"\xFF\x0A", b"\0\0\0\x0CJXL \r\n\x87\n"]) {
        return Other("this is a JPEG XL image, which is not read", CONVERT);
    }
    if starts(&[b"\xFF\x4F\xFF\x51", b"\0\0\0\x0CjP  \r\n\x87\n"]) {
        return Other("this is a JPEG 2000 image, which is not read", CONVERT);
    }
    if at(0, b"8BPS") {
        return Other("this is a Photoshop file, which is not read", CONVERT);
    }
    if at(0, b"%PDF") {
        return Other("this is a PDF, not a photo", CONVERT);
    }
    if starts(&[b"PK\x03\x04", b"\x1F\x8B", b"7z\xBC\xAF", b"Rar!"]) {
        return Other("this is an archive, not a photo", "unpack it, and name a photo that was in it");
    }
    let text: Vec<u8> = bytes.iter().take(64).map(u8::to_ascii_lowercase).collect();
    if [&b"<!doctype html"[..], b"<html"].iter().any(|start| text.trim_ascii_start().starts_with(start)) {
        return Other(
            "this is a web page, not a photo",
            "save the picture itself, not the page that shows it",
        );
    }
    if [&b"<svg"[..], b"<?xml"].iter().any(|start| text.trim_ascii_start().starts_with(start)) {
        return Other("this is an SVG drawing or other XML, not a photo", CONVERT);
    }
    if at(0, b"BM") {
        return Image(ImageFormat::Bmp);
    }
    Kind::Unknown
}

/// Files of the ISO base media format, by their brand: videos, HEIC, AVIF, raw.
fn base_media(bytes: &[u8]) -> Kind {
    let length = bytes.get(..4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let brands: Vec<&[u8]> = bytes.get(8..length.min(bytes.len())).unwrap_or(&[]).chunks(4).collect();
    let has = |names: &[&[u8]]| brands.iter().any(|brand| names.contains(brand));
    let (what, remedy) = if has(&[b"avif", b"avis"]) {
        ("this is an AVIF image, which is not read", CONVERT)
    } else if has(&[b"crx "]) {
        ("this is a raw camera file", DEVELOP)
    } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        ("this is a HEIC image, which is not read", CONVERT)
    } else if has(&[b"qt  "]) {
        ("this is a video (MOV), not a photo", FRAME)
    } else {
        ("this is a video (MP4), not a photo", FRAME)
    };
    Kind::Other(what, remedy)
}

/// Whether a PNG has the chunk acTL, which stands before its image data.
fn is_animated_png(png: &[u8]) -> bool {
    let mut at = 8;
    while let Some(&[a, b, c, d, ref name @ ..]) = png.get(at..at + 8) {
        match name {
            b"acTL" => return true,
            b"IDAT" | b"IEND" => return false,
            _ => at = at.saturating_add(12).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize),
        }
        if at > png.len() {
            return false;
        }
    }
    false
}

/// Whether a WebP ends before the length that it states; decoders do not mind where only metadata is missing.
pub(super) fn is_cut_off_webp(bytes: &[u8]) -> bool {
    match bytes {
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..] => {
            // One byte less is the padding of the last chunk, which some writers leave out.
            bytes.len() as u64 + 1 < u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8
        }
        _ => false,
    }
}

/// The problem and the remedy of a TIFF that is a raw camera file.
pub(super) const RAW: (&str, &str) = ("this is a raw camera file", DEVELOP);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_photo_is_told_by_its_first_bytes() {
        for (bytes, word) in [
            (&b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..], "MP4"),
            (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "MOV"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\x1A\x45\xDF\xA3\x01\0\0\0", "WebM"),
            (b"RIFF\0\0\0\0AVI LIST", "AVI"),
            (b"GIF89a\x01\0\x01\0", "GIF"),
            (b"%PDF-1.7", "PDF"),
            (b"RIFF\x20\0\0\0WEBPVP8X\x0A\0\0\0\x02\0\0\0", "animated WebP"),
            (b"II*\0\x10\0\0\0CR\x02\0", "raw"),
            (b"\n <!DOCTYPE HTML><html>", "web page"),
            (b"PK\x03\x04", "archive"),
        ] {
            let Kind::Other(what, remedy) = of(bytes) else { panic!("{word} is not known") };
            assert!(what.contains(word), "{what} for {word}");
            assert!(remedy.len() > 20);
        }
        assert_eq!(of(b"no image at all"), Kind::Unknown);
        assert_eq!(of(b""), Kind::Unknown);
        for length in 0..12 {
            of(&b"\0\0\0\x18ftypmp42"[..length]);
            of(&b"\x89PNG\r\n\x1A\n\0\0\0\x01"[..length]);
        }
    }
}
