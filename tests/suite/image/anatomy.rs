//! What is in the image, and what it says about itself.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use portunus_tests::container::Image;
use serde_json::json;

/// Every file below `folder`, links and folders included.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| {
        let is_folder = !path.is_symlink() && path.is_dir();
        let mut below = if is_folder { files(&path) } else { Vec::new() };
        below.push(path);
        below
    };
    entries.flat_map(below).collect()
}

#[test]
fn the_image_is_less_than_40_mb() {
    let Some(image) = Image::find() else { return };
    let sizes =
        files(&image.root()).into_iter().map(|file| file.symlink_metadata().unwrap().size());
    let size: u64 = sizes.sum();
    eprintln!("the image has {:.1} MB", size as f64 / 1e6);
    assert!(size < 40_000_000, "{size} bytes");
}

#[test]
fn the_image_has_one_program_and_no_shell() {
    let Some(image) = Image::find() else { return };
    let root = image.root();
    let programs = files(&root).into_iter().filter(|file| {
        let is_library = file.to_string_lossy().contains(".so");
        file.is_file() && !is_library && file.metadata().unwrap().mode() & 0o111 != 0
    });
    assert_eq!(programs.collect::<Vec<_>>(), [root.join("bin/portunus")]);
}

#[test]
fn nothing_in_the_image_is_its_users_but_an_empty_folder_for_certificates() {
    let Some(image) = Image::find() else { return };
    let root = image.root();
    for file in files(&root) {
        let about = file.symlink_metadata().unwrap();
        let inside = file.strip_prefix(&root).unwrap();
        if inside == Path::new("etc/portunus/certs.d") {
            assert_eq!((about.uid(), about.gid()), (65532, 65532), "volumes are copied from it");
            assert_eq!(fs::read_dir(&file).unwrap().count(), 0);
            continue;
        }
        assert_eq!((about.uid(), about.gid()), (0, 0), "{inside:?}");
        let mode = about.permissions().mode();
        assert_eq!(mode & 0o6000, 0, "{inside:?} gives no rights");
        if !about.is_symlink() && inside != Path::new("tmp") {
            assert_eq!(mode & 0o022, 0, "{inside:?} is for root to write: {mode:o}");
        }
    }
}

#[test]
fn the_image_says_how_it_wants_to_be_run() {
    let Some(image) = Image::find() else { return };
    let about = image.about();
    assert_eq!(about["User"], "65532:65532", "a number, which Kubernetes can tell from root's");
    assert_eq!(about["StopSignal"], "SIGTERM");
    assert_eq!(about["WorkingDir"], "/etc/portunus");
    assert_eq!(about["ExposedPorts"], json!({ "8443/tcp": {} }));
    let command = [image.texts("Entrypoint"), image.texts("Cmd")].concat();
    assert_eq!(command, ["/bin/portunus", "run"]);
    assert_eq!(
        about["Healthcheck"]["Test"],
        json!(["CMD", "/bin/portunus", "status", "--ready"]),
        "a health check without a shell"
    );
    for label in ["title", "description", "licenses", "version", "revision"] {
        let label = format!("org.opencontainers.image.{label}");
        assert!(about["Labels"][&label].is_string(), "{label}");
    }
}
