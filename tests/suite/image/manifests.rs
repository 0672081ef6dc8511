//! Compose and Kubernetes: whether what ships for them is what they accept, and what Portunus does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portunus_tests::foreign::{docker_compose, program, promtool, python_of};
use portunus_tests::{authority, command};

/// A file or folder of the sources.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// Everything that configurations refer to at `/run/secrets` and the like, in a folder; and the
/// configuration that refers to it there.
fn furnished(folder: &Path, config: &str) -> PathBuf {
    let certificates = folder.join("certificates");
    fs::create_dir(&certificates).unwrap();
    let pem = authority().issue(&["localhost"]).pem();
    portunus_tests::write(&certificates.join("tls.pem"), &pem);
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";
    portunus_tests::write(&folder.join("admin-token"), key);
    portunus_tests::write(&folder.join("sealing-key"), key);
    let mut config = config.to_owned();
    let here = folder.display().to_string();
    for secrets in ["/run/secrets", "/run/portunus/secrets"] {
        config = config.replace(&format!("file:{secrets}/"), &format!("file:{here}/"));
    }
    for certificates in ["/etc/portunus/certs.d", "/run/portunus/certs.d"] {
        config = config.replace(certificates, &format!("{here}/certificates"));
    }
    let file = folder.join("config.toml");
    fs::write(&file, config).unwrap();
    file
}

/// Fails unless `portunus check` has nothing to say against it.
fn accept(config: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = furnished(folder.path(), config);
    let output = command().arg("check").arg("--config").arg(&file).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), words.as_str()), (Some(0), ""), "{config}");
}

#[tokio::test]
async fn the_manifests_for_kubernetes_are_valid_and_refer_to_each_other() {
    let Some(python) = python_of("python-of-manifests") else { return };
    let judge = python.arg(program("manifests.py")).arg("check").arg(source("deploy/kubernetes"));
    let kinds = judge.patience(SLOW).run().await.expect_success();
    for kind in [
        "Certificate",
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "Service",
    ] {
        assert!(kinds.split_whitespace().any(|word| word == kind), "{kind}: {kinds}");
    }
}

#[tokio::test]
async fn a_manifest_with_a_slip_is_found_out() {
    for (file, right, wrong) in [
        ("deployment.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        ("certificate.yaml", "dnsNames", "dnsName"),
        ("monitor.yaml", "port: admin", "port: metrics"),
    ] {
        let Some(python) = python_of("python-of-manifests") else { return };
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(source("deploy/kubernetes")).unwrap().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap();
            let slipped = entry.file_name() == file;
            let text = if slipped { text.replace(right, wrong) } else { text };
            fs::write(folder.path().join(entry.file_name()), text).unwrap();
        }
        let judge = python.arg(program("manifests.py")).arg("check").arg(folder.path());
        let output = judge.patience(SLOW).run().await;
        assert!(!output.status.success(), "{wrong}: {}", output.everything());
    }
}

#[tokio::test]
async fn the_configuration_for_kubernetes_is_accepted() {
    let Some(python) = python_of("python-of-manifests") else { return };
    let file = source("deploy/kubernetes/configmap.yaml");
    let text = python.arg(program("manifests.py")).arg("text").arg(file);
    let text = text.args(["data", "config.toml"]).patience(SLOW).run().await.expect_success();
    accept(&text);
}

#[test]
fn the_configurations_for_compose_and_of_the_image_are_accepted() {
    for file in ["deploy/compose/portunus/config.toml", "deploy/image/config.toml"] {
        let text = fs::read_to_string(source(file)).unwrap();
        // Where the image has none, they are beside the file.
        let named = text.contains("[certificates]");
        let beside = "\n[certificates]\npaths = [\"/etc/portunus/certs.d\"]\n";
        accept(&if named { text } else { text + beside });
    }
}

/// A copy of `deploy/compose` with secrets made as its first comment says.
fn compose(folder: &Path) -> PathBuf {
    let copied = Command::new("cp").arg("-r").arg(source("deploy")).arg(folder).status().unwrap();
    assert!(copied.success());
    let compose = folder.join("deploy/compose");
    let _ = fs::remove_dir_all(compose.join("secrets"));
    let prepared = Command::new("sh").arg(compose.join("prepare")).output().unwrap();
    assert!(prepared.status.success(), "{prepared:?}");
    compose
}

#[tokio::test]
async fn the_compose_file_is_what_compose_accepts_and_every_file_that_it_names_is_there() {
    let Some(judge) = docker_compose() else { return };
    let folder = tempfile::tempdir().unwrap();
    let compose = compose(folder.path());
    let file = compose.join("compose.yaml");
    let output = judge.arg("-f").arg(&file).args(["config"]).patience(SLOW).run().await;
    let whole = output.expect_success();
    let text = fs::read_to_string(&file).unwrap();
    for service in ["portunus", "issue", "app", "redis", "prometheus", "grafana"] {
        assert!(whole.contains(&format!("\n  {service}:\n")), "{service}: {whole}");
    }
    let words = text.split(|c: char| c.is_whitespace() || c == ':');
    let names: BTreeSet<&str> = words.filter(|word| word.starts_with("./")).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        assert!(compose.join(name).exists(), "{name}");
    }
    for mounted in ["dashboards/grafana/overview.json", "dashboards/prometheus/alerts.yml"] {
        assert!(source(mounted).exists(), "{mounted}");
    }
    let slip = text.replace("read_only", "readonly");
    fs::write(&file, slip).unwrap();
    let Some(judge) = docker_compose() else { return };
    let output = judge.arg("-f").arg(&file).args(["config"]).patience(SLOW).run().await;
    assert!(!output.status.success(), "a slip is found out");
}

#[tokio::test]
async fn prometheus_accepts_its_configuration_for_compose() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let compose = compose(folder.path());
    let file = compose.join("prometheus.yml");
    let text = fs::read_to_string(&file).unwrap();
    let secrets = compose.join("secrets").display().to_string();
    fs::write(&file, text.replace("/run/secrets", &secrets)).unwrap();
    let judged = promtool.args(["check", "config"]).arg(&file).run().await;
    assert!(judged.expect_success().contains("SUCCESS"));
}

/// Some of these programs take their time to begin.
const SLOW: std::time::Duration = std::time::Duration::from_secs(120);
