//! Image files, tensors, and sheets of faces.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use image::codecs::png::PngEncoder;
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Rgb, RgbImage,
};

use super::error::{Error, Result};
use super::file::{Disk, write_whole};

/// The most memory that decoding one image may take, in bytes: 512 MiB, a photo of 120 megapixels and some.
const MEMORY_LIMIT: u64 = 512 << 20;

/// File name endings that [`read`] knows, lower case.
pub const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"];

/// Whether a file name ends like an image's.
pub fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Reads an image file by its content, whatever its name, as 8-bit RGB, upright as its EXIF orientation says.
///
/// # Errors
/// [`Error::Read`] when the file cannot be opened; [`Error::Image`] when it is empty, corrupt, cut off, of another
/// format, or would take over 512 MiB in memory.
pub fn read(path: &Path) -> Result<RgbImage> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let mut reader =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(Error::read(path))?;
    match reader.format() {
        None => return Err(Error::image(path, "this is no image that can be read")),
        Some(ImageFormat::Jpeg) if is_cut_off(&bytes) => {
            return Err(Error::image(path, "the image is damaged (the file is cut off)"));
        }
        Some(_) => {}
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MEMORY_LIMIT);
    reader.limits(limits);
    let decode = || {
        let mut decoder = reader.into_decoder()?;
        // What cannot be read of a camera's notes is no reason to refuse its pixels.
        let turn = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(turn);
        Ok::<_, image::ImageError>(image)
    };
    let decoded =
        decode().map_err(|e| Error::image(path, format!("the image is damaged or too large ({e})")))?;
    Ok(decoded.into_rgb8())
}

/// Whether a JPEG ends before its end marker: the decoder passes over that and paints the rest grey. What follows the
/// end, such as a phone's short film, does not count.
pub(crate) fn is_cut_off(jpeg: &[u8]) -> bool {
    let mut at = 2; // after the start marker
    loop {
        // In a scan's data FF 00 is a byte, FF D0 to FF D7 are restarts, and FF may be repeated.
        let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF);
        let Some(place) = jpeg.get(at..).and_then(|rest| rest.windows(2).position(is_marker)) else {
            return true;
        };
        at += place + 2;
        match jpeg[at - 1..] {
            [0xD9, ..] => return false,
            // Every other marker begins a segment that states its length, these two bytes included.
            [_, high, low, ..] => at += usize::from(u16::from_be_bytes([high, low])),
            _ => return true,
        }
    }
}

/// The image as a square of `side` pixels: cut to its middle square, then resampled (Catmull-Rom, antialiased).
/// An image of that size is returned untouched.
pub fn square(image: RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    if (width, height) == (side, side) {
        return image;
    }
    let edge = width.min(height);
    let middle = imageops::crop_imm(&image, (width - edge) / 2, (height - edge) / 2, edge, edge);
    imageops::resize(&*middle, side, side, FilterType::CatmullRom)
}

/// Appends an image's values in -1..1, plane after plane: `[3, height, width]`.
pub fn append_values(image: &RgbImage, values: &mut Vec<f32>) {
    for channel in 0..3 {
        values.extend(image.pixels().map(|pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0));
    }
}

/// Images of one size as a tensor `[batch, 3, height, width]` in -1..1.
///
/// # Panics
/// When the images differ in size.
pub fn to_tensor(images: &[RgbImage], device: &Device) -> Tensor<4> {
    let (width, height) = images.first().map_or((0, 0), RgbImage::dimensions);
    let mut values = Vec::with_capacity(images.len() * 3 * (width * height) as usize);
    for image in images {
        assert_eq!(image.dimensions(), (width, height), "images of one batch have one size");
        append_values(image, &mut values);
    }
    Tensor::from_data(TensorData::new(values, [images.len(), 3, height as usize, width as usize]), device)
}

/// A tensor `[batch, 3, height, width]` in -1..1 as images; values outside are clamped, rounding is to the nearest.
pub fn from_tensor(tensor: Tensor<4>) -> Vec<RgbImage> {
    let [_, channels, height, width] = tensor.dims();
    assert_eq!(channels, 3, "an RGB image has three channels");
    let data = tensor.into_data().convert::<f32>();
    let values: &[f32] = data.as_slice().expect("the data was converted to f32");
    let plane = height * width;
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    values
        .chunks(3 * plane)
        .map(|image| {
            RgbImage::from_fn(width as u32, height as u32, |x, y| {
                let at = y as usize * width + x as usize;
                Rgb([byte(image[at]), byte(image[plane + at]), byte(image[2 * plane + at])])
            })
        })
        .collect()
}

/// Encodes a PNG.
///
/// # Errors
/// What the writer says.
pub fn encode_png(image: &RgbImage, output: &mut dyn Write) -> std::io::Result<()> {
    PngEncoder::new(output)
        .write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| match error {
            image::ImageError::IoError(error) => error,
            other => std::io::Error::other(other),
        })
}

/// Writes a PNG file, whole or not at all.
///
/// # Errors
/// [`Error::Write`] with the path.
pub fn write_png(disk: &dyn Disk, path: &Path, image: &RgbImage) -> Result<()> {
    write_whole(disk, path, |output| encode_png(image, output))
}

/// A sheet: rows of images of one size with a thin white line between them. Rows may differ in length.
pub fn sheet(rows: &[Vec<RgbImage>]) -> RgbImage {
    const GAP: u32 = 2;
    let (width, height) = rows.iter().flatten().next().map_or((0, 0), RgbImage::dimensions);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let extent = |count: u32, size: u32| (count * (size + GAP)).saturating_sub(GAP).max(1);
    let white = Rgb([255; 3]);
    let mut sheet = RgbImage::from_pixel(extent(columns, width), extent(rows.len() as u32, height), white);
    for (y, row) in (0..).step_by((height + GAP) as usize).zip(rows) {
        for (x, image) in (0..).step_by((width + GAP) as usize).zip(row) {
            imageops::replace(&mut sheet, image, x, y);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x + y) as u8]))
    }

    #[test]
    fn bytes_survive_the_way_through_a_tensor() {
        let images =
            [ramp(13, 9), RgbImage::from_fn(13, 9, |x, y| Rgb([(x * 19) as u8, 255, (y * 28) as u8]))];
        assert_eq!(from_tensor(to_tensor(&images, &Device::flex())), images);
    }

    #[test]
    fn a_camera_held_upright_gives_an_upright_image() {
        let folder = tempfile::tempdir().unwrap();
        let (path, image) = (folder.path().join("turned.png"), ramp(13, 9));
        let stored = imageops::rotate270(&image);
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        let turned_right = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        encoder.set_exif_metadata(turned_right.to_vec()).unwrap();
        encoder.write_image(stored.as_raw(), 9, 13, ExtendedColorType::Rgb8).unwrap();
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).unwrap(), image);
    }

    #[test]
    fn a_square_is_cut_from_the_middle() {
        assert_eq!(square(ramp(20, 20), 20), ramp(20, 20));
        let wide = RgbImage::from_fn(30, 10, |x, _| Rgb([if (10..20).contains(&x) { 200 } else { 0 }; 3]));
        assert!(square(wide, 5).pixels().all(|pixel| pixel.0 == [200; 3]));
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        encode_png(&ramp(40, 40), &mut bytes).unwrap();
        for (name, content) in
            [("cut.png", &bytes[..bytes.len() / 2]), ("empty.png", &[]), ("text.png", b"no image")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains(name));
        }
        assert!(matches!(read(&folder.path().join("none.png")), Err(Error::Read { .. })));
    }

    #[test]
    fn a_jpeg_that_is_cut_off_anywhere_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.jpg");
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&ramp(80, 80)).unwrap();
        for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 2, bytes.len() - 1]) {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path).is_err(), "{length} of {} bytes", bytes.len());
        }
        bytes.extend(b"what phones append \xFF\xDA");
        fs::write(&path, &bytes).unwrap();
        read(&path).unwrap();
    }

    #[test]
    fn a_sheet_holds_every_image() {
        let sheet = sheet(&[vec![ramp(4, 3); 2], vec![ramp(4, 3)]]);
        assert_eq!(sheet.dimensions(), (10, 8));
        assert_eq!(sheet.get_pixel(9, 2), ramp(4, 3).get_pixel(3, 2));
        assert_eq!(sheet.get_pixel(9, 7), &Rgb([255; 3]));
    }
}
