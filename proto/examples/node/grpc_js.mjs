// The whole flow with grpc-js, which reads the protos itself: node grpc_js.mjs HOST:PORT CUSTOMER
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const [address, customer] = process.argv.slice(2);
const proto = process.env.PROTO ?? fileURLToPath(new URL("../..", import.meta.url));

const files = ["customer", "purchase", "hold", "notification"].map((name) => `creditledger/v1/${name}_service.proto`);
const shape = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const loaded = loader.loadSync(files, { ...shape, includeDirs: [proto, `${proto}/third_party`] });
const services = grpc.loadPackageDefinition(loaded).creditledger.v1;
// UNAVAILABLE is tried again by the channel itself, as the file says.
const options = { "grpc.service_config": readFileSync(`${proto}/retry_service_config.json`, "utf8") };
const client = (name) => new services[name](address, grpc.credentials.createInsecure(), options);
const deadline = () => ({ deadline: Date.now() + 10_000 });

// A command of this customer, as a promise. The request_id makes it safe to send the same again.
const command = (service, method, request_id, request) =>
  new Promise((done, fail) => {
    const context = { request_id, customer_id: customer, by: "grpc_js.mjs" };
    service[method]({ context, ...request }, deadline(), (error, answer) => (error ? fail(error) : done(answer.outcome)));
  });

// What the server says about an error besides its code: a google.rpc.ErrorInfo.
const rpc = protobuf.loadSync(["status", "error_details"].map((name) => `${proto}/third_party/google/rpc/${name}.proto`));
function errorInfo(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const { details } = rpc.lookupType("google.rpc.Status").decode(bytes);
  const info = details.find((detail) => detail.type_url.endsWith("/google.rpc.ErrorInfo"));
  return rpc.lookupType("google.rpc.ErrorInfo").decode(info.value);
}

let said = await command(client("CustomerService"), "CreateCustomer", "create", { name: "Example" });
console.log(`created: ${said.balance.available_credits} credits available`);

const order = { storefront: "web", order_id: customer, credits: "10", price: { currency_code: "EUR", amount: "99.00" } };
said = await command(client("PurchaseService"), "PurchaseCredits", "buy", order);
console.log(`purchased: ${said.balance.available_credits} credits available`);

const holds = client("HoldService");
const incident = { incident_id: "INC-1", estimated_seconds: 7200 };
const { hold } = await command(holds, "EstimateIncident", "estimate", incident);
console.log(`estimated: ${hold.estimated_credits} credits, ${hold.state}`);

const target = { hold_id: hold.hold_id };
said = await command(holds, "ConfirmEstimate", "confirm", { target });
console.log(`confirmed: ${said.balance.available_credits} credits available, ${said.balance.held_credits} held`);

said = await command(holds, "RecordWork", "work", { target, work_seconds: 5400 });
console.log(`worked: ${said.hold.work.work_seconds} seconds`);

said = await command(holds, "SettleHold", "settle", { target });
console.log(`settled: ${said.hold.settlement.charged_credits} credits, ${said.balance.available_credits} available`);

const refused = await command(holds, "PlaceHold", "place", { incident_id: "INC-2", credits: "25" }).catch(errorInfo);
const metadata = Object.keys(refused.metadata).sort().map((key) => `${key}=${refused.metadata[key]}`);
console.log(`refused: ${refused.reason} ${metadata.join(" ")}`);

said = await command(holds, "SettleHold", "settle", { target });
console.log(`repeated: replayed ${said.replayed}, ${said.balance.available_credits} available`);

async function* watch(start) {
  const stream = client("NotificationService").WatchEvents({ customer_id: customer, until_now: true, ...start }, deadline());
  stream.on("error", () => {}); // thrown below; and cancelling is no error
  try {
    for await (const { item, event, resume_token } of stream) if (item === "event") yield { type: event.type, resume_token };
  } finally {
    stream.cancel();
  }
}
let first;
for await (first of watch({ after_position: 0 })) break;
console.log(`watched: ${first.type}`); // or the connection breaks: what came last says where to go on
const told = [];
for await (const event of watch({ resume_token: first.resume_token })) told.push(event.type);
console.log(`resumed: ${told.join(" ")}`);
