"""What the sandbox writes down: certificates, configuration, stages, policies, export lines."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tests.sandbox import config, containers, environment, kwok, paths, pki, seed


def test_certificates_carry_both_key_identifiers_and_their_names() -> None:
    signer = pki.authority()
    certificate, key = pki.issue(signer, "system:node:n1", "system:nodes", ("n1", "10.231.0.1"))
    found = x509.load_pem_x509_certificate(certificate.encode())
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    assert found.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.231.0.1"]
    for checked in (found, signer.certificate):
        checked.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        identifier = checked.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert identifier.key_identifier == x509.SubjectKeyIdentifier.from_public_key(signer.key.public_key()).digest
    found.verify_directly_issued_by(signer.certificate)


def test_containerd_for_cleaning_up_has_no_kubernetes_plugin() -> None:
    def plugins_off(text: str) -> str:
        return next(line for line in text.splitlines() if line.startswith("disabled_plugins"))

    assert "io.containerd.grpc.v1.cri" in plugins_off(config.containerd(with_cri=False))
    assert "io.containerd.grpc.v1.cri" not in plugins_off(config.containerd())


def test_sockets_stay_below_the_limit_of_the_kernel() -> None:
    assert len(f"{paths.CONTAINERD_SOCKET}.ttrpc") < 108


def test_secret_files_are_private_even_when_they_were_not(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    path.parent.mkdir()
    path.write_text("old and longer")
    path.chmod(0o644)
    paths.write_secret(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_agents_policy_reads_its_own_entry_only() -> None:
    assert seed.agent_policy("roberval") == (
        'path "kv/data/agents/roberval" {\n  capabilities = ["read"]\n}\n'
        'path "kv/metadata/agents/roberval" {\n  capabilities = ["read"]\n}\n'
    )


@pytest.mark.parametrize("identity", seed.IDENTITIES)
def test_the_shipped_permissions_are_a_role_and_a_cluster_role(identity: str) -> None:
    found = yaml.safe_load((seed.PERMISSIONS / f"{identity}.yaml").read_text())["items"]
    assert {(item["kind"], item["metadata"]["name"]) for item in found} == {
        ("Role", f"agents-{identity}"),
        ("ClusterRole", f"agents-{identity}"),
    }


def test_the_crash_stage_wins_and_names_its_digests() -> None:
    stage = kwok.crash_stage(["sha256:bb", "sha256:aa", "sha256:bb"])
    assert stage["spec"]["weight"] > 0
    assert stage["spec"]["selector"]["matchExpressions"][-1]["values"] == ["sha256:aa", "sha256:bb"]


def test_stages_are_the_shipped_ones_and_ours_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("node/fast", "node/heartbeat-with-lease", "pod/fast"):
        (tmp_path / folder).mkdir(parents=True)
        name = folder.replace("/", "-")
        (tmp_path / folder / "stage.yaml").write_text(f"kind: Stage\nmetadata: {{name: {name}}}\n")
        (tmp_path / folder / "kustomization.yaml").write_text("kind: Kustomization\n")
    monkeypatch.setattr(kwok, "STAGES", tmp_path / "out.yaml")

    def names() -> list[str]:
        return [stage["metadata"]["name"] for stage in yaml.safe_load_all((tmp_path / "out.yaml").read_text())]

    kwok.write_stages(tmp_path)
    assert names() == ["node-fast", "node-heartbeat-with-lease", "pod-fast"]
    kwok.write_stages(tmp_path, ["sha256:aa"])
    assert names()[3:] == ["pod-crash-loop"]


def test_the_pause_image_is_one_file_under_its_own_name() -> None:
    with tarfile.open(fileobj=io.BytesIO(containers.pause_archive(b"program"))) as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    [manifest] = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == [config.PAUSE_IMAGE]
    assert json.loads(files[manifest["Config"]])["config"] == {"Entrypoint": ["/pause"]}
    with tarfile.open(fileobj=io.BytesIO(files[manifest["Layers"][0]])) as layer:
        assert (layer.getnames(), layer.getmember("pause").mode) == (["pause"], 0o755)


def test_export_lines_survive_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"VAULT_TOKEN": 'it\'s $HOME; "quoted"', "VAULT_ADDR": "http://127.0.0.1:18200"}
    monkeypatch.setattr(environment, "ENVIRONMENT", tmp_path / "environment.json")
    monkeypatch.setattr(environment, "holds_image", lambda repository: repository == environment.REAL_IMAGE)
    (tmp_path / "environment.json").write_text(json.dumps(values))
    text = environment.lines()
    assert "export VAULT_ADDR='http://127.0.0.1:18200'\n" in text
    script = f'{text}printf %s "$VAULT_TOKEN|$AGENTS_SANDBOX_CAPABILITIES"'
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == f"{values['VAULT_TOKEN']}|kubelet,kwok,admin,processes,registry,vault-admin,real-image"
    assert shlex.split(text)[:2] == ["export", f"PATH={environment.read()['PATH']}"]
