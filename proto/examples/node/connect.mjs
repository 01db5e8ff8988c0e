// The whole flow with Connect-ES: node connect.mjs HOST:PORT CUSTOMER [connect|grpc|grpc-web]
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { CustomerService } from "./gen/creditledger/v1/customer_service_pb.js";
import { EventTypeSchema } from "./gen/creditledger/v1/event_pb.js";
import { HoldStateSchema } from "./gen/creditledger/v1/hold_pb.js";
import { HoldService } from "./gen/creditledger/v1/hold_service_pb.js";
import { NotificationService } from "./gen/creditledger/v1/notification_service_pb.js";
import { PurchaseService } from "./gen/creditledger/v1/purchase_service_pb.js";

const [address, customerId, protocol = "connect"] = process.argv.slice(2);

// Connect and gRPC-Web work over HTTP/1.1 too, as browsers and serverless callers have it; gRPC needs HTTP/2.
const transport = {
  connect: (options) => createConnectTransport({ ...options, httpVersion: "1.1", useBinaryFormat: false }),
  grpc: createGrpcTransport,
  "grpc-web": (options) => createGrpcWebTransport({ ...options, httpVersion: "1.1" }),
}[protocol]({ baseUrl: `http://${address}`, defaultTimeoutMs: 10_000 });
const customers = createClient(CustomerService, transport);
const purchases = createClient(PurchaseService, transport);
const holds = createClient(HoldService, transport);
const events = createClient(NotificationService, transport);

// Who asks, about whom. The requestId makes it safe to send the same again.
const context = (requestId) => ({ requestId, customerId, by: "connect.mjs" });
// The name of an enum's value as the protos have it.
const name = (schema, number) => schema.value[number].name;

let said = (await customers.createCustomer({ context: context("create"), name: "Example" })).outcome;
console.log(`created: ${said.balance.availableCredits} credits available`);

const order = { storefront: "web", orderId: customerId, credits: "10", price: { currencyCode: "EUR", amount: "99.00" } };
said = (await purchases.purchaseCredits({ context: context("buy"), ...order })).outcome;
console.log(`purchased: ${said.balance.availableCredits} credits available`);

const quote = { case: "estimatedSeconds", value: 7200 };
const { hold } = (await holds.estimateIncident({ context: context("estimate"), incidentId: "INC-1", quote })).outcome;
console.log(`estimated: ${hold.estimatedCredits} credits, ${name(HoldStateSchema, hold.state)}`);

const target = { target: { case: "holdId", value: hold.holdId } };
said = (await holds.confirmEstimate({ context: context("confirm"), target })).outcome;
console.log(`confirmed: ${said.balance.availableCredits} credits available, ${said.balance.heldCredits} held`);

said = (await holds.recordWork({ context: context("work"), target, workSeconds: 5400 })).outcome;
console.log(`worked: ${said.hold.work.workSeconds} seconds`);

said = (await holds.settleHold({ context: context("settle"), target })).outcome;
console.log(`settled: ${said.hold.settlement.chargedCredits} credits, ${said.balance.availableCredits} available`);

const place = { context: context("place"), incidentId: "INC-2", quote: { case: "credits", value: "25" } };
const [refused] = await holds.placeHold(place).catch((error) => ConnectError.from(error).findDetails(ErrorInfoSchema));
const metadata = Object.keys(refused.metadata).sort().map((key) => `${key}=${refused.metadata[key]}`);
console.log(`refused: ${refused.reason} ${metadata.join(" ")}`);

said = (await holds.settleHold({ context: context("settle"), target })).outcome;
console.log(`repeated: replayed ${said.replayed}, ${said.balance.availableCredits} available`);

async function* watch(start) {
  const abort = new AbortController();
  try {
    const stream = events.watchEvents({ customerId, start, untilNow: true }, { signal: abort.signal });
    for await (const { item, resumeToken } of stream) {
      if (item.case === "event") yield { type: name(EventTypeSchema, item.value.type), resumeToken };
    }
  } finally {
    abort.abort(); // whoever stops reading ends the call, too
  }
}
let first;
for await (first of watch({ case: "afterPosition", value: "0" })) break;
console.log(`watched: ${first.type}`); // or the connection breaks: what came last says where to go on
const told = [];
for await (const event of watch({ case: "resumeToken", value: first.resumeToken })) told.push(event.type);
console.log(`resumed: ${told.join(" ")}`);
process.exit(); // the connection would stay open for a next call
