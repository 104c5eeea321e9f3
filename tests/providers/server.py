"""Serve a provider to Terraform."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Any

import tf.provider
import tf.utils
from tf import runner
from tf.gen import tfplugin_pb2 as pb
from tf.schema import Schema
from tf.types import Unknown
from tf.utils import Diagnostics, _to_attribute_path, read_dynamic_value, to_dynamic_value

from tests.providers.findings import Findings
from tests.providers.kinds import DataSource, Kind, Resource, report
from tests.providers.schema import Field, Values, check_parts, to_framework

Configure = Callable[[Findings, Values], None]


class Provider:
    """A provider as the framework wants it."""

    def __init__(
        self,
        address: str,
        *,
        settings: tuple[Field, ...] = (),
        configure: Configure,
        data_sources: Sequence[DataSource],
        resources: Sequence[Resource],
    ) -> None:
        self._address = address
        self._settings = settings
        self._configure = configure
        self._data_sources = data_sources
        self._resources = resources

    def get_model_prefix(self) -> str:
        return self._address.rpartition("/")[2] + "_"

    def full_name(self) -> str:
        return self._address

    def get_provider_schema(self, _diagnostics: Diagnostics) -> Schema:
        attributes, _blocks = to_framework(self._settings)
        return Schema(version=1, attributes=attributes)

    def validate_config(self, diagnostics: Diagnostics, config: Values) -> None:
        findings = Findings()
        check_parts(self._settings, findings, config)
        report(findings, diagnostics)

    def configure_provider(self, diagnostics: Diagnostics, config: Values) -> None:
        findings = Findings()
        self._configure(findings, config)
        report(findings, diagnostics)

    def get_data_sources(self) -> Sequence[DataSource]:
        return self._data_sources

    def get_resources(self) -> Sequence[Resource]:
        return self._resources

    def get_functions(self) -> list[Any]:
        return []

    def new_data_source(self, kind: Kind) -> Kind:
        return kind

    def new_resource(self, kind: Kind) -> Kind:
        return kind


class Servicer(tf.provider.ProviderServicer):  # type: ignore[misc] # the framework has no types
    """Plans and applies by the rules for providers of the old kind.

    They may fill in defaults that no configuration and no plan has, also inside of blocks, and a
    changed block replaces its resource. The framework offers neither.
    """

    def PlanResourceChange(self, request: Any, _context: Any) -> Any:  # noqa: N802
        findings, diagnostics = Findings(), Diagnostics()
        prior = read_dynamic_value(request.prior_state)
        proposed = read_dynamic_value(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        resource = self._get_res_cls(request.type_name)
        planned, changed = resource.planned(findings, prior, proposed)
        report(findings, diagnostics)
        return pb.PlanResourceChange.Response(
            planned_state=to_dynamic_value(planned),
            requires_replace=[_to_attribute_path([name]) for name in changed],
            diagnostics=diagnostics.to_pb(),
            legacy_type_system=True,
        )

    def ApplyResourceChange(self, request: Any, _context: Any) -> Any:  # noqa: N802
        findings, diagnostics = Findings(), Diagnostics()
        planned = read_dynamic_value(request.planned_state)
        resource = self._get_res_cls(request.type_name)
        created = None if planned is None else resource.created(findings, planned)
        report(findings, diagnostics)
        return pb.ApplyResourceChange.Response(
            new_state=to_dynamic_value(created),
            diagnostics=diagnostics.to_pb(),
            legacy_type_system=True,
        )

    def ReadResource(self, request: Any, _context: Any) -> Any:  # noqa: N802
        current = read_dynamic_value(request.current_state)
        resource = self._get_res_cls(request.type_name)
        return pb.ReadResource.Response(new_state=to_dynamic_value(resource.refreshed(current)))


def serve(provider: Provider) -> None:
    """Serve the provider until Terraform is done with it."""
    # Ctrl+C reaches the whole process group; Terraform alone decides when its providers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tf.provider.ProviderServicer = Servicer
    # The framework knows the plain unknown value alone, not one with hints, such as "not null".
    tf.utils._msgpack_ext_hook = lambda _code, _data: Unknown
    runner.run_provider(provider)
