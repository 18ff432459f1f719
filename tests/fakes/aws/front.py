"""What stands between the wire and moto: faults, one effect for one ClientToken, and the few services that moto lacks."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterable

from tests.fakes.aws import prices
from tests.fakes.aws.calls import Answer, App, Call, Environ, StartResponse, as_json, asked, read_call, refusal, send
from tests.fakes.aws.faults import Fault
from tests.fakes.aws.sessions import LENDING, Sessions
from tests.fakes.aws.world import SHUTTING_DOWN, TERMINATED, World

# the public parameters that name images, and an image that moto has in every region
IMAGES = {"/aws/service/canonical/ubuntu/": "ami-785db401", "/aws/service/deeplearning/": "ami-dca37ea5"}
# of each kind of machines, on demand and spot: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTAS = ("L-1216C47A", "L-34B43A08", "L-DB2E81BA", "L-3819A6DF", "L-417A185B", "L-7212CCBC")
HTTP_OK = 200
MISMATCH = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
QUOTA_CODES = {"on-demand": "VcpuLimitExceeded", "spot": "MaxSpotInstanceCountExceeded"}
NO_QUOTA = "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket."
ENDED = "The instance of the previous request with this client token has been terminated."

# what is the same whenever it is asked, and takes moto seconds to write down
LASTING = ("DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "DescribeSpotPriceHistory")

Own = Callable[[Call], Answer | None]


class Front:
    """A WSGI application in front of moto's."""

    def __init__(self, moto: App, world: World) -> None:
        self._moto, self._world, self._sessions = moto, world, Sessions()
        self._written: dict[tuple[str, ...], Answer] = {}
        self._own: dict[tuple[str, str], Own] = {
            ("pricing", "GetProducts"): lambda call: as_json(prices.products(call.params)),
            ("ssm", "GetParameter"): _image_parameter,
            ("servicequotas", "ListServiceQuotas"): self._quotas,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        call = read_call(environ)
        with self._world.lock:
            self._world.calls[f"{call.service}:{call.operation}"] += 1
            facts = self._world.facts(call)
        fault = self._world.faults.take(call, facts)
        if fault is None:
            return self._pass(call, environ, start_response)
        threading.Event().wait(fault.delay)
        if not (fault.code or fault.cut):
            return self._pass(call, environ, start_response)
        if fault.after:
            # whatever the answer was, nobody will read it
            self._answer(call, environ)
        return _fail(fault, call, environ, start_response)

    def _pass(self, call: Call, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if denied := self._sessions.denial(call, environ):
            return send(denied, start_response)
        if call.service == "ec2" or call.operation in LENDING or (call.service, call.operation) in self._own:
            return send(self._answer(call, environ), start_response)
        return self._moto(environ, start_response)

    def _answer(self, call: Call, environ: Environ) -> Answer:
        own = self._own.get((call.service, call.operation))
        if own and (answer := own(call)):
            return answer
        if call.service != "ec2":
            return self._sessions.learn(call, asked(self._moto, environ))
        with self._world.lock:
            self._world.settle()
            if call.operation == "RunInstances":
                return self._launch(call, environ)
            return self._lasting(call, environ) if call.operation in LASTING else asked(self._moto, environ)

    def _lasting(self, call: Call, environ: Environ) -> Answer:
        asked_for = (f"{name}={value}" for name, value in sorted(call.params.items()) if name != "StartTime")
        key = (call.region, call.operation, *asked_for)
        if key not in self._written:
            answer = asked(self._moto, environ)
            if answer.status != HTTP_OK:
                return answer
            self._written[key] = answer
        return self._written[key]

    def _launch(self, call: Call, environ: Environ) -> Answer:
        if (call.region, call.params.get("ClientToken")) not in self._world.tokens:
            facts = self._world.facts(call)
            used = self._world.vcpus(call.region, facts["market"])
            if used + prices.vcpus(facts["type"]) > self._world.settings.vcpus:
                return refusal(call, QUOTA_CODES[facts["market"]], NO_QUOTA, 400)
        return self._once(call, environ) if call.params.get("ClientToken") else asked(self._moto, environ)

    def _once(self, call: Call, environ: Environ) -> Answer:
        """A launch whose token was used already is answered as it was then.

        https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
        """
        token = call.region, str(call.params["ClientToken"])
        digest = hashlib.sha256(json.dumps(sorted(call.params.items())).encode()).hexdigest()
        if token in self._world.tokens:
            before, answer = self._world.tokens[token]
            if before != digest:
                return refusal(call, "IdempotentParameterMismatch", MISMATCH, 400)
            return refusal(call, "IdempotentInstanceTerminated", ENDED, 400) if self._ended(token) else answer
        answer = asked(self._moto, environ)
        if answer.status == HTTP_OK:
            self._world.tokens[token] = digest, answer
        return answer

    def _quotas(self, call: Call) -> Answer:
        same = {"ServiceCode": call.params.get("ServiceCode"), "Value": self._world.settings.vcpus, "Adjustable": True}
        return as_json({"Quotas": [{**same, "QuotaCode": code, "QuotaName": code} for code in QUOTAS]})

    def _ended(self, token: tuple[str, str]) -> bool:
        known = self._world.instances()
        states = {each.state for each in known if (each.region_name, each.client_token) == token}
        return states <= {SHUTTING_DOWN[0], TERMINATED[0]}


def _fail(fault: Fault, call: Call, environ: Environ, start_response: StartResponse) -> list[bytes]:
    if fault.cut:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return []
    return send(refusal(call, fault.code, fault.message or fault.code, fault.http_status), start_response)


def _image_parameter(call: Call) -> Answer | None:
    name = str(call.params.get("Name", ""))
    image = next((id for prefix, id in IMAGES.items() if name.startswith(prefix)), None)
    if image is None:
        return None
    arn = f"arn:aws:ssm:{call.region}::parameter{name}"
    value = {"Name": name, "Type": "String", "Value": image, "Version": 1, "ARN": arn, "DataType": "aws:ec2:image"}
    return as_json({"Parameter": {**value, "LastModifiedDate": 1700000000.0}})
