//! Photos through files and back: what must survive, and what must be refused.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{Rgb, RgbImage};

use super::exif::tests::camera;
use super::file::Photo;
use super::pixels::{Pixels, Samples};
use super::turn::Turn;
use super::write::{PhotoFormat, PngLevel, WriteOptions};
use super::{exif, resources, xmp};
use crate::base::error::Error;
use crate::base::file::{Disk, FileSystem, Output};
use crate::base::rng::Rng;

const FORMATS: [PhotoFormat; 4] = [PhotoFormat::Png, PhotoFormat::Jpeg, PhotoFormat::Webp, PhotoFormat::Tiff];

/// Noise, which no lossy step survives.
fn noise(width: u32, height: u32, channels: u8, bits: u32) -> Pixels {
    let mut rng = Rng::stream(1, "noise", u64::from(channels));
    let count = (width * height * u32::from(channels)) as usize;
    let samples = if bits == 8 {
        Samples::Eight((0..count).map(|_| rng.below(256) as u8).collect())
    } else {
        Samples::Sixteen((0..count).map(|_| rng.below(65536) as u16).collect())
    };
    Pixels::new(width, height, channels, samples)
}

fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut profile = vec![5; 200];
    profile[16..20].copy_from_slice(space);
    profile
}

/// A photo with everything that a file can say.
fn full(turn: u16, pixels: Pixels) -> Photo {
    let space = if pixels.colours() == 1 { b"GRAY" } else { b"RGB " };
    let mut photo = Photo::from_pixels(pixels);
    photo.turn = Turn::from_exif(turn).unwrap();
    photo.exif = exif::without_thumbnail(&camera(turn, true));
    photo.icc = Some(profile(space));
    photo.xmp = Some(xmp::marked(None, "another"));
    photo.resources = Some(resources::of_iptc(b"\x1C\x02\x78\0\x05mouse"));
    photo
}

fn write_and_read(photo: &Photo, format: PhotoFormat, options: &WriteOptions) -> Photo {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo");
    photo.write(&FileSystem, &path, photo.pixels(), format, options).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let read = Photo::read(&path).unwrap();
    assert_eq!(read.format(), Some(format));
    read
}

#[test]
fn lossless_formats_return_every_bit() {
    for format in [PhotoFormat::Png, PhotoFormat::Tiff, PhotoFormat::Webp] {
        for bits in [8, 16] {
            for channels in 1..=4 {
                for level in [PngLevel::Fast, PngLevel::Default, PngLevel::Best] {
                    let photo = full(3, noise(37, 23, channels, bits));
                    let options = WriteOptions { png_level: level, ..WriteOptions::unmarked() };
                    let read = write_and_read(&photo, format, &options);
                    let mut expected = photo.pixels().clone();
                    if format == PhotoFormat::Webp {
                        // Eight bits of colour.
                        let eight = expected.eight(0..23);
                        let pixels = eight.chunks(usize::from(channels)).flat_map(|p| match *p {
                            [grey] => vec![grey; 3],
                            [grey, alpha] => vec![grey, grey, grey, alpha],
                            _ => p.to_vec(),
                        });
                        let samples = Samples::Eight(pixels.collect());
                        expected = Pixels::new(37, 23, if channels % 2 == 0 { 4 } else { 3 }, samples);
                    }
                    assert!(*read.pixels() == expected, "{format:?}, {bits} bits, {channels} channels");
                }
            }
        }
    }
}

#[test]
fn a_jpeg_is_near_in_grey_and_colour() {
    for (channels, bits) in [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (2, 16), (3, 16), (4, 16)] {
        let image = image::DynamicImage::ImageRgb8(RgbImage::from_fn(99, 75, |x, y| {
            Rgb([(2 * x) as u8, (3 * y) as u8, (x + y) as u8])
        }));
        let pixels = Pixels::from_decoded(match (channels, bits) {
            (1, 8) => image.to_luma8().into(),
            (2, 8) => image.to_luma_alpha8().into(),
            (4, 8) => image.to_rgba8().into(),
            (1, _) => image.to_luma16().into(),
            (2, _) => image.to_luma_alpha16().into(),
            (3, 16) => image.to_rgb16().into(),
            (4, _) => image.to_rgba16().into(),
            _ => image.clone(),
        });
        let photo = full(8, pixels);
        let read = write_and_read(&photo, PhotoFormat::Jpeg, &WriteOptions::unmarked());
        assert_eq!(read.pixels().channels(), photo.pixels().colours());
        assert_eq!(read.icc_profile(), photo.icc_profile());
        let (written, read) = (photo.pixels().opaque_eight(0..75), read.pixels().eight(0..75).into_owned());
        let error: u32 = written.iter().zip(&read).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(error < written.len() as u32, "{channels} channels: {error} of {}", written.len());
    }
}

#[test]
fn what_a_file_says_survives_from_every_format_to_every_other() {
    for big_endian in [false, true] {
        let mut photo = full(6, noise(20, 30, 3, 8));
        photo.exif = exif::without_thumbnail(&camera(6, big_endian));
        for first in FORMATS {
            let once = write_and_read(&photo, first, &WriteOptions::unmarked());
            for second in FORMATS {
                let twice = write_and_read(&once, second, &WriteOptions::unmarked());
                let what = format!("{first:?} to {second:?}");
                let fields = |photo: &Photo| {
                    let exif = ::exif::Reader::new().read_raw(photo.exif().unwrap().to_vec()).unwrap();
                    let texts = exif.fields().map(|f| format!("{} {}", f.tag, f.display_value()));
                    let ours = |text: &String| !text.contains("Resolution");
                    let mut texts: Vec<String> = texts.filter(ours).collect();
                    texts.sort();
                    texts
                };
                assert_eq!(fields(&twice), fields(&photo), "{what}");
                let tiff = [first, second].contains(&PhotoFormat::Tiff);
                assert!(tiff || twice.exif() == photo.exif(), "{what}: byte for byte");
                assert_eq!(twice.turn(), photo.turn(), "{what}");
                assert_eq!(twice.icc_profile(), photo.icc_profile(), "{what}");
                assert_eq!(twice.xmp(), photo.xmp(), "{what}");
                let holds = |format| matches!(format, PhotoFormat::Jpeg | PhotoFormat::Tiff);
                let resources = photo.resources.clone().filter(|_| holds(first) && holds(second));
                assert_eq!(twice.resources, resources, "{what}");
            }
        }
    }
}

#[test]
fn the_mark_is_in_every_format_unless_turned_off() {
    let photo = Photo::from_pixels(noise(9, 9, 3, 8));
    for format in FORMATS {
        let marked = write_and_read(&photo, format, &WriteOptions::marked("default"));
        let packet = String::from_utf8(marked.xmp().unwrap().to_vec()).unwrap();
        assert!(packet.contains(xmp::COMPOSITE) && packet.contains("moue (default)"));
        let unmarked = write_and_read(&photo, format, &WriteOptions::unmarked());
        assert_eq!((unmarked.xmp(), unmarked.icc_profile()), (None, None));
    }
}

#[test]
fn a_turn_without_exif_is_written_all_the_same() {
    for value in 2..=8 {
        let mut photo = Photo::from_pixels(noise(5, 4, 3, 8));
        photo.turn = Turn::from_exif(value).unwrap();
        for format in FORMATS {
            assert_eq!(write_and_read(&photo, format, &WriteOptions::unmarked()).turn(), photo.turn());
        }
    }
}

#[test]
fn what_a_jpeg_cannot_hold_is_left_out_and_the_turn_is_not() {
    let mut photo = full(7, noise(8, 8, 3, 8));
    let exif = photo.exif.as_mut().unwrap();
    exif.resize(70_000, 1);
    photo.xmp.as_mut().unwrap().splice(0..0, vec![b' '; 70_000]);
    let read = write_and_read(&photo, PhotoFormat::Jpeg, &WriteOptions::marked("m"));
    assert_eq!(read.turn(), photo.turn());
    assert!(read.xmp().unwrap().len() < 2000);
    assert_eq!(write_and_read(&photo, PhotoFormat::Jpeg, &WriteOptions::unmarked()).xmp(), None);
    // A profile of several segments, and no profile of other colours.
    photo.icc = Some(profile(b"RGB ").repeat(1000));
    let read = write_and_read(&photo, PhotoFormat::Jpeg, &WriteOptions::unmarked());
    assert_eq!(read.icc_profile(), photo.icc_profile());
    photo.icc = Some(profile(b"CMYK"));
    assert_eq!(write_and_read(&photo, PhotoFormat::Jpeg, &WriteOptions::unmarked()).icc_profile(), None);
}

#[test]
fn palettes_bits_and_cmyk_become_grey_or_rgb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.dat");
    let png = |colour, depth, palette: Option<&[u8]>, data: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, 8, 1);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette.to_vec());
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        fs::write(&path, bytes).unwrap();
        Photo::read(&path).unwrap().pixels().clone()
    };
    use ::png::{BitDepth, ColorType};
    let bits = png(ColorType::Grayscale, BitDepth::One, None, &[0b1010_0001]);
    assert_eq!(*bits.samples(), Samples::Eight(vec![255, 0, 255, 0, 0, 0, 0, 255]));
    let palette = png(ColorType::Indexed, BitDepth::One, Some(&[1, 2, 3, 7, 8, 9]), &[0b0100_0000]);
    assert_eq!(palette.channels(), 3);
    assert!(matches!(palette.samples(), Samples::Eight(samples) if samples[..6] == [1, 2, 3, 7, 8, 9]));

    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
    encoder.add_icc_profile(&profile(b"CMYK")).unwrap();
    encoder.encode(&[0, 255, 255, 0].repeat(64), 8, 8, jpeg_encoder::ColorType::Cmyk).unwrap();
    fs::write(&path, bytes).unwrap();
    let photo = Photo::read(&path).unwrap();
    let Samples::Eight(samples) = photo.pixels().samples() else { panic!("8 bits") };
    assert!(
        photo.pixels().channels() == 3 && samples[0] > 200 && samples[1] < 50,
        "red: {:?}",
        &samples[..3]
    );
    assert_eq!(write_and_read(&photo, PhotoFormat::Png, &WriteOptions::unmarked()).icc_profile(), None);
}

#[test]
fn what_is_no_photo_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    let bomb = {
        let mut bytes = Vec::new();
        let mut writer = ::png::Encoder::new(&mut bytes, 60_000, 60_000).write_header().unwrap();
        writer.write_chunk(::png::chunk::IDAT, &[0; 50]).unwrap();
        drop(writer);
        bytes
    };
    let video = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".repeat(1000);
    for (content, word) in
        [(&b""[..], "empty"), (b"text", "no image"), (&video, "MP4"), (&bomb, "1 GiB"), (b"GIF89a", "GIF")]
    {
        fs::write(&path, content).unwrap();
        let error = Photo::read(&path).unwrap_err();
        assert!(error.to_string().contains(word) && error.to_string().contains("photo.jpg"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.len() > 10), "{error}");
    }
    assert!(matches!(Photo::read(folder.path()), Err(Error::Read { .. })));
    assert!(matches!(Photo::read(&folder.path().join("none")), Err(Error::Read { .. })));
    fs::write(&path, crate_animation()).unwrap();
    assert!(Photo::read(&path).unwrap_err().to_string().contains("animated WebP"));
}

fn crate_animation() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.webp");
    super::animation::write_animation(&FileSystem, &path, &[RgbImage::new(4, 4)], &[50], None).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn damaged_files_are_refused_or_read_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo");
    for format in FORMATS {
        let photo = full(5, noise(24, 17, 3, 8));
        photo.write(&FileSystem, &path, photo.pixels(), format, &WriteOptions::marked("m")).unwrap();
        let good = fs::read(&path).unwrap();
        for length in (0..good.len()).step_by(1 + good.len() / 60) {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Photo::read(&path).is_err(), "{format:?}: {length} of {} bytes", good.len());
        }
        for round in 0..400 {
            let mut rng = Rng::stream(2, "damage", round);
            let mut bytes = good.clone();
            for _ in 0..1 + rng.below(8) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.below(256) as u8;
            }
            fs::write(&path, &bytes).unwrap();
            if let Ok(read) = Photo::read(&path) {
                read.upright(16);
            }
        }
    }
}

#[test]
fn one_pixel_is_a_photo() {
    for format in FORMATS {
        let read = write_and_read(&full(6, noise(1, 1, 3, 8)), format, &WriteOptions::marked("m"));
        let (image, scale) = read.upright(2048);
        assert_eq!((image.dimensions(), scale), ((1, 1), 1.0));
    }
}

#[test]
fn reduced_points_are_stored_points_at_every_turn() {
    for bits in [8, 16] {
        for channels in 1..=4u8 {
            for value in 1..=8 {
                // A bright square of 40 pixels around (130, 70) on black.
                let (width, height) = (301, 203);
                let mut samples = Vec::new();
                for index in 0..width * height {
                    let (x, y) = (index % width, index / width);
                    let inside = (110..150).contains(&x) && (50..90).contains(&y);
                    samples.extend(vec![if inside { 255u8 } else { 0 }; channels.into()]);
                }
                let samples = match bits {
                    8 => Samples::Eight(samples),
                    _ => Samples::Sixteen(samples.into_iter().map(|s| u16::from(s) * 257).collect()),
                };
                let photo = full(value, Pixels::new(width, height, channels, samples));
                for max_side in [50, 77, 150, 301, 999] {
                    let (image, scale) = photo.upright(max_side);
                    assert_eq!(scale, (301.0 / f64::from(max_side)).max(1.0));
                    assert_eq!(image.width().max(image.height()), max_side.min(301));
                    let (upright_width, upright_height) = photo.upright_dimensions();
                    assert!(f64::from(image.width()) * scale <= f64::from(upright_width) + 1e-6);
                    assert!(f64::from(image.height()) * scale > f64::from(upright_height) - scale);
                    let mut sum = [0.0; 3];
                    for (x, y, pixel) in image.enumerate_pixels() {
                        let weight = f64::from(pixel.0[1]);
                        sum[0] += weight * (f64::from(x) + 0.5);
                        sum[1] += weight * (f64::from(y) + 0.5);
                        sum[2] += weight;
                    }
                    let upright = [sum[0] / sum[2] * scale, sum[1] / sum[2] * scale];
                    let stored = photo.stored_from_upright(upright);
                    let error = (stored[0] - 130.0).hypot(stored[1] - 70.0);
                    assert!(error < 0.08 * scale, "turn {value}, side {max_side}: {error} pixels off");
                    assert_eq!(
                        photo.upright_from_stored(stored).map(|v| v.round()),
                        upright.map(|v| v.round())
                    );
                }
            }
        }
    }
}

/// A disk that fills up after some bytes.
struct Small(AtomicUsize);

struct Counted {
    left: usize,
    file: fs::File,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.file.write(&bytes[..bytes.len().min(self.left)])?;
        self.left -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Output for Counted {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Disk for Small {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let left = self.0.load(Ordering::Relaxed);
        Ok(Box::new(Counted { left, file: fs::File::create(path)? }))
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    let photo = full(1, noise(40, 30, 3, 8));
    let options = WriteOptions::marked("m");
    let frames = [RgbImage::new(40, 40), RgbImage::from_pixel(40, 40, Rgb([9; 3]))];
    for format in FORMATS {
        fs::write(&path, "old").unwrap();
        photo.write(&FileSystem, &folder.path().join("whole"), photo.pixels(), format, &options).unwrap();
        let length = fs::metadata(folder.path().join("whole")).unwrap().len() as usize;
        fs::remove_file(folder.path().join("whole")).unwrap();
        for limit in (0..length).step_by(1 + length / 40).chain([length - 1]) {
            let disk = Small(limit.into());
            let error = photo.write(&disk, &path, photo.pixels(), format, &options).unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{format:?} {limit}");
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        photo.write(&Small(length.into()), &path, photo.pixels(), format, &options).unwrap();
    }
    fs::remove_file(&path).unwrap();
    for name in ["a.gif", "a.webp"] {
        let path = folder.path().join(name);
        for limit in [0, 1, 40, 100] {
            let disk = Small(limit.into());
            let error = super::animation::write_animation(&disk, &path, &frames, &[20], None).unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{name} {limit}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_side_that_a_format_cannot_hold_is_refused() {
    let photo = Photo::from_pixels(Pixels::new(70_000, 1, 1, Samples::Eight(vec![0; 70_000])));
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let path = folder.path().join(format.extension());
        let written = photo.write(&FileSystem, &path, photo.pixels(), format, &WriteOptions::unmarked());
        let holds = matches!(format, PhotoFormat::Png | PhotoFormat::Tiff);
        assert_eq!(written.is_ok(), holds, "{format:?}");
        assert_eq!(path.exists(), holds);
    }
    assert_eq!("JPG".parse(), Ok(PhotoFormat::Jpeg));
    assert_eq!(PhotoFormat::from_path(Path::new("a/b.Tif")).unwrap(), PhotoFormat::Tiff);
    assert!(PhotoFormat::from_path(Path::new("a/b.heic")).unwrap_err().hint().is_some());
}
