"""The whole flow with grpcio: python flow.py HOST:PORT CUSTOMER"""

import sys
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from creditledger.v1 import context_pb2, customer_service_pb2_grpc, event_pb2, hold_pb2, hold_service_pb2_grpc
from creditledger.v1 import money_pb2, notification_service_pb2_grpc, purchase_service_pb2_grpc
from creditledger.v1.customer_service_pb2 import CreateCustomerRequest
from creditledger.v1.hold_service_pb2 import (
    ConfirmEstimateRequest, EstimateIncidentRequest, PlaceHoldRequest, RecordWorkRequest, SettleHoldRequest)
from creditledger.v1.notification_service_pb2 import WatchEventsRequest
from creditledger.v1.purchase_service_pb2 import PurchaseCreditsRequest

SECONDS = 10  # how long a call may take, all its attempts together


def context(request_id, customer):  # who asks, about whom; the request_id makes it safe to send the same again
    return context_pb2.CommandContext(request_id=request_id, customer_id=customer, by="flow.py")


def main(address, customer):
    # UNAVAILABLE is tried again by the channel itself, as the file says.
    retry = (Path(__file__).parents[2] / "retry_service_config.json").read_text()
    channel = grpc.insecure_channel(address, options=[("grpc.service_config", retry)])
    customers = customer_service_pb2_grpc.CustomerServiceStub(channel)
    purchases = purchase_service_pb2_grpc.PurchaseServiceStub(channel)
    holds = hold_service_pb2_grpc.HoldServiceStub(channel)
    events = notification_service_pb2_grpc.NotificationServiceStub(channel)

    create = CreateCustomerRequest(context=context("create", customer), name="Example")
    balance = customers.CreateCustomer(create, timeout=SECONDS).outcome.balance
    print(f"created: {balance.available_credits} credits available")

    buy = PurchaseCreditsRequest(context=context("buy", customer), storefront="web", order_id=customer, credits="10",
                                 price=money_pb2.Money(currency_code="EUR", amount="99.00"))
    balance = purchases.PurchaseCredits(buy, timeout=SECONDS).outcome.balance
    print(f"purchased: {balance.available_credits} credits available")

    estimate = EstimateIncidentRequest(context=context("estimate", customer), incident_id="INC-1", estimated_seconds=7200)
    hold = holds.EstimateIncident(estimate, timeout=SECONDS).outcome.hold
    print(f"estimated: {hold.estimated_credits} credits, {hold_pb2.HoldState.Name(hold.state)}")

    target = hold_pb2.HoldTarget(hold_id=hold.hold_id)
    confirm = ConfirmEstimateRequest(context=context("confirm", customer), target=target)
    balance = holds.ConfirmEstimate(confirm, timeout=SECONDS).outcome.balance
    print(f"confirmed: {balance.available_credits} credits available, {balance.held_credits} held")

    work = RecordWorkRequest(context=context("work", customer), target=target, work_seconds=5400)
    print(f"worked: {holds.RecordWork(work, timeout=SECONDS).outcome.hold.work.work_seconds} seconds")

    settle = SettleHoldRequest(context=context("settle", customer), target=target)
    outcome = holds.SettleHold(settle, timeout=SECONDS).outcome
    print(f"settled: {outcome.hold.settlement.charged_credits} credits, {outcome.balance.available_credits} available")

    try:
        too_much = PlaceHoldRequest(context=context("place", customer), incident_id="INC-2", credits="25")
        holds.PlaceHold(too_much, timeout=SECONDS)
    except grpc.RpcError as error:
        info = error_details_pb2.ErrorInfo()
        next(detail for detail in rpc_status.from_call(error).details if detail.Is(info.DESCRIPTOR)).Unpack(info)
        print(f"refused: {info.reason}", *(f"{key}={value}" for key, value in sorted(info.metadata.items())))

    outcome = holds.SettleHold(settle, timeout=SECONDS).outcome
    print(f"repeated: replayed {str(outcome.replayed).lower()}, {outcome.balance.available_credits} available")

    watch = events.WatchEvents(WatchEventsRequest(customer_id=customer, after_position=0), timeout=SECONDS)
    first = next(message for message in watch if message.WhichOneof("item") == "event")
    watch.cancel()  # or the connection breaks: what came last says where to go on
    print("watched:", event_pb2.EventType.Name(first.event.type))
    rest = WatchEventsRequest(customer_id=customer, resume_token=first.resume_token, until_now=True)
    told = [m.event.type for m in events.WatchEvents(rest, timeout=SECONDS) if m.WhichOneof("item") == "event"]
    print("resumed:", *map(event_pb2.EventType.Name, told))


main(*sys.argv[1:])
