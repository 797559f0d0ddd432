"""Files that other programs read: images, clusters, CI, citation, changelog."""

import re
from pathlib import Path

import pytest
import yaml

from ar3d_keras.hosts import find_job
from ar3d_keras.version import __version__

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def documents(file: Path) -> list[dict]:
    return list(yaml.safe_load_all(file.read_text()))


def batching(text: str) -> dict[str, list[str]]:
    """The fields of a batching configuration; a field may be repeated."""
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)\s*(?:\{ value: (?=.*\})|: )(\d+)", text, re.M):
        fields.setdefault(name, []).append(value)
    return fields


def test_the_image_copies_files_that_exist():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert copied
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name


def test_the_image_can_install_tensorflow_without_cuda():
    """The Dockerfile replaces the beginning of a line of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert sum(line.startswith("tensorflow[and-cuda]") for line in lines) == 1


def test_compose_opens_ports_on_this_machine_only():
    (content,) = documents(DEPLOY / "compose.yaml")
    services = content["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all(service["init"] for service in services.values())
    assert (DEPLOY / services["train"]["build"]["context"] / "deploy/Dockerfile").is_file()


def test_kubernetes_serves_with_the_batching_of_the_examples():
    found = {document["kind"]: document for document in documents(DEPLOY / "kubernetes.yaml")}
    (text,) = found["ConfigMap"]["data"].values()
    example = batching((ROOT / "examples/serving/batching.config").read_text())
    there = batching(text)
    assert there.keys() == example.keys()
    for name in ("max_batch_size", "batch_timeout_micros", "allowed_batch_sizes"):
        assert there[name] == example[name]
    pod = found["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert found["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} <= ports


def test_kserve_uses_its_tensorflow_runtime():
    (service,) = documents(DEPLOY / "kserve.yaml")
    assert service["spec"]["predictor"]["model"]["modelFormat"]["name"] == "tensorflow"


def test_the_workflow_runs_ci():
    (workflow,) = documents(ROOT / ".github/workflows/ci.yml")
    steps = workflow["jobs"]["test"]["steps"]
    assert any(step.get("run") == ".ci/run" for step in steps)


def test_citation_and_changelog_name_this_version():
    (citation,) = documents(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == __version__
    assert versions == sorted(versions, reverse=True)


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.yaml")), ids=lambda file: file.name)
def test_yaml_says_how_it_is_run(file):
    assert re.search(r"^#     (docker|kubectl) ", file.read_text(), re.M)


def test_the_job_files_start_the_processes_that_they_count():
    (jobset,) = documents(DEPLOY / "jobset.yaml")
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    hosts = {each["name"]: each["value"] for each in container["env"]}["HOSTS"]
    pods = [
        f"{jobset['metadata']['name']}-{job['name']}-0-{index}.{jobset['metadata']['name']}"
        for index in range(spec["completions"])
    ]
    assert [host.rpartition(":")[0] for host in hosts.split(",")] == pods
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    found = find_job(hosts, environment={"JOB_COMPLETION_INDEX": "1"})
    assert (found.process, found.coordinator) == (1, hosts.split(",")[0])
    assert "--ntasks-per-node=1" in (DEPLOY / "slurm.sh").read_text()
