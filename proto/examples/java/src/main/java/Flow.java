import com.google.rpc.ErrorInfo;
import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.creditledger.v1.*;

/** The whole flow with grpc-java: Flow HOST:PORT CUSTOMER */
public class Flow {
  public static void main(String[] args) throws Exception {
    String customer = args[1];
    var channel = ManagedChannelBuilder.forTarget(args[0]).usePlaintext().build();
    var customers = CustomerServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
    var purchases = PurchaseServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
    var holds = HoldServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
    // Who asks, about whom. The request id makes it safe to send the same again.
    var context = CommandContext.newBuilder().setCustomerId(customer).setBy("Flow.java");
    var create = CreateCustomerRequest.newBuilder().setContext(context.setRequestId("create")).setName("Example");
    var said = customers.createCustomer(create.build()).getOutcome();
    System.out.printf("created: %s credits available%n", said.getBalance().getAvailableCredits());
    var buy = PurchaseCreditsRequest.newBuilder().setContext(context.setRequestId("buy")).setStorefront("web")
        .setOrderId(customer).setCredits("10").setPrice(Money.newBuilder().setCurrencyCode("EUR").setAmount("99.00"));
    said = purchases.purchaseCredits(buy.build()).getOutcome();
    System.out.printf("purchased: %s credits available%n", said.getBalance().getAvailableCredits());
    var estimate = EstimateIncidentRequest.newBuilder().setContext(context.setRequestId("estimate"))
        .setIncidentId("INC-1").setEstimatedSeconds(7200);
    var hold = holds.estimateIncident(estimate.build()).getOutcome().getHold();
    System.out.printf("estimated: %s credits, %s%n", hold.getEstimatedCredits(), hold.getState());
    var target = HoldTarget.newBuilder().setHoldId(hold.getHoldId()).build();
    var confirm = ConfirmEstimateRequest.newBuilder().setContext(context.setRequestId("confirm")).setTarget(target);
    var balance = holds.confirmEstimate(confirm.build()).getOutcome().getBalance();
    System.out.printf(
        "confirmed: %s credits available, %s held%n", balance.getAvailableCredits(), balance.getHeldCredits());
    var work = RecordWorkRequest.newBuilder().setContext(context.setRequestId("work")).setTarget(target);
    said = holds.recordWork(work.setWorkSeconds(5400).build()).getOutcome();
    System.out.printf("worked: %d seconds%n", said.getHold().getWork().getWorkSeconds());
    var settle = SettleHoldRequest.newBuilder().setContext(context.setRequestId("settle")).setTarget(target).build();
    said = holds.settleHold(settle).getOutcome();
    System.out.printf("settled: %s credits, %s available%n",
        said.getHold().getSettlement().getChargedCredits(), said.getBalance().getAvailableCredits());
    try {
      var place = PlaceHoldRequest.newBuilder().setContext(context.setRequestId("place")).setIncidentId("INC-2");
      holds.placeHold(place.setCredits("25").build());
    } catch (StatusRuntimeException error) {
      var info = StatusProto.fromThrowable(error).getDetails(0).unpack(ErrorInfo.class);
      var metadata = new TreeMap<>(info.getMetadataMap()).toString().replaceAll("[{},]", "");
      System.out.printf("refused: %s %s%n", info.getReason(), metadata);
    }
    said = holds.settleHold(settle).getOutcome();
    System.out.printf("repeated: replayed %b, %s available%n", said.getReplayed(), said.getBalance().getAvailableCredits());
    var watch = WatchEventsRequest.newBuilder().setCustomerId(customer).setUntilNow(true);
    var first = watch(channel, watch.setAfterPosition(0).build(), 1).get(0);
    // Or the connection breaks: what came last says where to go on.
    System.out.printf("watched: %s%n", first.getEvent().getType());
    System.out.print("resumed:");
    for (var message : watch(channel, watch.setResumeToken(first.getResumeToken()).build(), Integer.MAX_VALUE))
      System.out.print(" " + message.getEvent().getType());
    System.out.println();
    channel.shutdownNow();
  }

  static ArrayList<WatchEventsResponse> watch(Channel channel, WatchEventsRequest request, int most) {
    var told = new ArrayList<WatchEventsResponse>();
    try (var stream = Context.current().withCancellation()) { // leaving it cancels the stream
      stream.run(() -> {
        var stub = NotificationServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
        var messages = stub.watchEvents(request);
        while (told.size() < most && messages.hasNext())
          Optional.of(messages.next()).filter(WatchEventsResponse::hasEvent).ifPresent(told::add);
      });
    }
    return told;
  }
}
