from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from cli.main import COMMANDS
from db.jobs.tags import UNTAGGED_QUEUE
from tests.unit.deploy.files import DEPLOY, output_of, read_yaml, settings_of, time_to_stop, tool
from tests.unit.deploy.series import named_series, recorded_series, served_series, unknown_labels
from worker.settings import Settings
from worker.variables import problem_of_names

KUBERNETES = DEPLOY / "kubernetes"
DEPLOYMENTS = ("provisionerd-api", "provisionerd-exporter", "provisionerd-worker")
VERSIONS = ("1.30", "1.33", "1.37")
BASE = [
    resource
    for path in sorted((KUBERNETES / "base").glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for resource in read_yaml(path)
]
(KUSTOMIZATION,) = read_yaml(KUBERNETES / "base/kustomization.yaml")
(SCALING,) = read_yaml(KUBERNETES / "components/keda/scaledobject.yaml")
PODS = [resource for resource in BASE if "template" in resource.get("spec", {})]
SETTINGS = dict(
    literal.split("=", 1)
    for generated in KUSTOMIZATION["configMapGenerator"]
    for literal in generated["literals"]
)


def name(resource: dict[str, Any]) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


def pod(resource: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = resource["spec"]["template"]["spec"]
    return found


def container(resource: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(resource)["containers"]
    return dict(found)


def resource(kind: str, called: str) -> dict[str, Any]:
    return next(item for item in BASE if name(item) == f"{kind}-{called}")


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    kubectl = tool("kubectl", "it has kustomize built in")
    return list(yaml.safe_load_all(output_of(kubectl, "kustomize", KUBERNETES / "example")))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", BASE, ids=name)
def test_manifests_are_what_kubernetes_takes(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_example_renders_what_kubernetes_takes(rendered: list[dict[str, Any]]) -> None:
    for manifest in rendered:
        if (
            "." not in manifest["apiVersion"].partition("/")[0]
            or "k8s.io" in manifest["apiVersion"]
        ):
            kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_the_example_has_everything(rendered: list[dict[str, Any]]) -> None:
    assert {manifest["kind"] for manifest in rendered} == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "ScaledObject",
        "Service",
        "ServiceAccount",
    }


def test_the_example_replaces_every_image(rendered: list[dict[str, Any]]) -> None:
    images = {
        container(item)["image"] for item in rendered if item["kind"] in {"Deployment", "Job"}
    }
    assert images == {"registry.example.com/provisionerd:0.1.0"}


def test_keda_alone_decides_about_the_number_of_workers(rendered: list[dict[str, Any]]) -> None:
    (worker,) = [item for item in rendered if name(item) == "Deployment-provisionerd-worker"]
    assert "replicas" not in worker["spec"]


def test_settings_exist() -> None:
    assert set(settings_of(SETTINGS)) <= Settings.model_fields.keys()


@pytest.mark.parametrize("manifest", PODS, ids=name)
def test_secrets_are_in_files_that_are_mounted(manifest: dict[str, Any]) -> None:
    files = {variable["name"]: variable["value"] for variable in container(manifest)["env"]}
    assert files == {
        "PROVISIONERD_DATABASE_URL_FILE": "/run/secrets/provisionerd/database-url",
        "PROVISIONERD_REDIS_URL_FILE": "/run/secrets/provisionerd/redis-url",
    }
    assert problem_of_names(Settings.model_fields, files) is None
    (mount,) = (
        mounted for mounted in container(manifest)["volumeMounts"] if mounted["name"] == "secrets"
    )
    assert (mount["mountPath"], mount["readOnly"]) == ("/run/secrets/provisionerd", True)


@pytest.mark.parametrize("manifest", PODS, ids=name)
def test_services_put_no_unknown_setting_into_the_environment(manifest: dict[str, Any]) -> None:
    assert pod(manifest)["enableServiceLinks"] is False


@pytest.mark.parametrize("manifest", PODS, ids=name)
def test_templates_get_no_credentials_of_the_cluster(manifest: dict[str, Any]) -> None:
    assert pod(manifest)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("manifest", PODS, ids=name)
def test_pods_keep_to_the_restricted_standard(manifest: dict[str, Any]) -> None:
    assert pod(manifest)["securityContext"]["runAsNonRoot"] is True
    assert pod(manifest)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(manifest)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("manifest", PODS, ids=name)
def test_pods_run_as_the_user_of_the_image(manifest: dict[str, Any]) -> None:
    context = pod(manifest)["securityContext"]
    user = f"USER {context['runAsUser']}:{context['runAsGroup']}\n"
    assert user in (DEPLOY / "docker/Dockerfile").read_text()


@pytest.mark.parametrize("manifest", PODS, ids=name)
def test_the_commands_exist(manifest: dict[str, Any]) -> None:
    assert container(manifest)["args"][0] in COMMANDS


@pytest.mark.parametrize("called", DEPLOYMENTS)
def test_health_and_readiness_are_asked_where_metrics_are_served(called: str) -> None:
    served = container(resource("Deployment", called))
    asked = {
        probe: served[probe]["httpGet"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": {"path": "/healthz", "port": "metrics"},
        "livenessProbe": {"path": "/healthz", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": "metrics"},
    }


@pytest.mark.parametrize("called", DEPLOYMENTS)
def test_the_port_of_the_metrics_is_the_one_that_is_set(called: str) -> None:
    ports = {port["name"]: port for port in container(resource("Deployment", called))["ports"]}
    where = f":{ports['metrics']['containerPort']}"
    name_of_setting = "API_METRICS_ADDRESS" if called.endswith("api") else "METRICS_ADDRESS"
    assert SETTINGS[f"PROVISIONERD_{name_of_setting}"].endswith(where)


def test_a_worker_gets_the_time_that_its_drain_may_take() -> None:
    worker = pod(resource("Deployment", "provisionerd-worker"))
    assert worker["terminationGracePeriodSeconds"] >= time_to_stop(SETTINGS)


def test_nobody_but_the_scraper_and_the_ingress_may_connect() -> None:
    of_api = resource("NetworkPolicy", "provisionerd-api")["spec"]
    assert [rule["ports"] for rule in of_api["ingress"]] == [[{"protocol": "TCP", "port": 7080}]]
    policy = resource("NetworkPolicy", "provisionerd")["spec"]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"protocol": "TCP", "port": 2112}]]


def allowed_ports(namespace_or_address: str) -> set[int]:
    return {
        port["port"]
        for rule in resource("NetworkPolicy", "provisionerd")["spec"]["egress"]
        if namespace_or_address in str(rule.get("to"))
        for port in rule["ports"]
    }


def test_traces_reach_a_collector_in_the_namespace_of_the_scraper() -> None:
    assert allowed_ports("'monitoring'") == {4317, 4318}


def test_modules_come_by_https_and_by_git_over_ssh() -> None:
    assert {22, 443} <= allowed_ports("0.0.0.0/0")


def test_templates_reach_the_api_from_workers() -> None:
    assert allowed_ports("'api'") == {7080}
    api = resource("NetworkPolicy", "provisionerd-api")["spec"]["ingress"]
    assert "'worker'" in str(api)


def test_the_metadata_services_of_clouds_are_out_of_reach() -> None:
    open_to_all = [
        block["ipBlock"]
        for rule in resource("NetworkPolicy", "provisionerd")["spec"]["egress"]
        for block in rule.get("to", ())
        if "ipBlock" in block
    ]
    assert {block["cidr"]: block["except"] for block in open_to_all} == {
        "0.0.0.0/0": ["169.254.0.0/16"],
        "::/0": ["fd00:ec2::254/128"],
    }


def test_scaling_reads_series_that_exist() -> None:
    query = SCALING["spec"]["triggers"][0]["metadata"]["query"]
    assert named_series(query) <= served_series().keys() | recorded_series()
    assert unknown_labels(query) == []
    assert f'queue="{UNTAGGED_QUEUE}"' in query


def test_scaling_counts_the_slots_of_a_worker() -> None:
    trigger = SCALING["spec"]["triggers"][0]
    assert trigger["metricType"] == "AverageValue"
    assert trigger["metadata"]["threshold"] == SETTINGS["PROVISIONERD_CONCURRENCY"]


def test_a_prometheus_without_an_answer_scales_nothing_in() -> None:
    assert SCALING["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert "fallback" not in SCALING["spec"]


def test_workers_go_one_at_a_time() -> None:
    behavior = SCALING["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert [policy["type"] for policy in behavior["scaleDown"]["policies"]] == ["Pods"]
    assert [policy["value"] for policy in behavior["scaleDown"]["policies"]] == [1]


def test_pods_are_scraped_under_the_names_that_the_rules_use() -> None:
    (configuration,) = read_yaml(DEPLOY / "prometheus/prometheus.yml")
    monitors = read_yaml(KUBERNETES / "components/prometheus-operator/podmonitors.yaml")
    given = {
        relabeling["replacement"]
        for monitor in monitors
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        for relabeling in endpoint["relabelings"]
    }
    assert given == {job["job_name"] for job in configuration["scrape_configs"]}
