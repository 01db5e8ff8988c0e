// The whole flow with grpc-go: flow HOST:PORT CUSTOMER
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"time"

	pb "creditledger/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	address, customer := os.Args[1], os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn := must(grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())))
	as := func(id string) *pb.CommandContext { // who asks, about whom; the id makes it safe to send the same again
		return &pb.CommandContext{RequestId: id, CustomerId: customer, By: "flow.go"}
	}
	create := &pb.CreateCustomerRequest{Context: as("create"), Name: "Example"}
	said := must(pb.NewCustomerServiceClient(conn).CreateCustomer(ctx, create)).Outcome
	fmt.Printf("created: %s credits available\n", said.Balance.AvailableCredits)
	buy := &pb.PurchaseCreditsRequest{Context: as("buy"), Storefront: "web", OrderId: customer, Credits: "10",
		Price: &pb.Money{CurrencyCode: "EUR", Amount: "99.00"}}
	said = must(pb.NewPurchaseServiceClient(conn).PurchaseCredits(ctx, buy)).Outcome
	fmt.Printf("purchased: %s credits available\n", said.Balance.AvailableCredits)
	holds := pb.NewHoldServiceClient(conn)
	estimate := &pb.EstimateIncidentRequest{Context: as("estimate"), IncidentId: "INC-1",
		Quote: &pb.EstimateIncidentRequest_EstimatedSeconds{EstimatedSeconds: 7200}}
	hold := must(holds.EstimateIncident(ctx, estimate)).Outcome.Hold
	fmt.Printf("estimated: %s credits, %s\n", hold.EstimatedCredits, hold.State)
	target := &pb.HoldTarget{Target: &pb.HoldTarget_HoldId{HoldId: hold.HoldId}}
	said = must(holds.ConfirmEstimate(ctx, &pb.ConfirmEstimateRequest{Context: as("confirm"), Target: target})).Outcome
	fmt.Printf("confirmed: %s credits available, %s held\n", said.Balance.AvailableCredits, said.Balance.HeldCredits)
	said = must(holds.RecordWork(ctx, &pb.RecordWorkRequest{Context: as("work"), Target: target, WorkSeconds: 5400})).Outcome
	fmt.Printf("worked: %d seconds\n", said.Hold.Work.WorkSeconds)
	settle := &pb.SettleHoldRequest{Context: as("settle"), Target: target}
	said = must(holds.SettleHold(ctx, settle)).Outcome
	fmt.Printf("settled: %s credits, %s available\n", said.Hold.Settlement.ChargedCredits, said.Balance.AvailableCredits)
	_, err := holds.PlaceHold(ctx, &pb.PlaceHoldRequest{Context: as("place"), IncidentId: "INC-2",
		Quote: &pb.PlaceHoldRequest_Credits{Credits: "25"}})
	refused := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	fmt.Print("refused: ", refused.Reason)
	for _, key := range slices.Sorted(maps.Keys(refused.Metadata)) {
		fmt.Printf(" %s=%s", key, refused.Metadata[key])
	}
	said = must(holds.SettleHold(ctx, settle)).Outcome
	fmt.Printf("\nrepeated: replayed %t, %s available\n", said.Replayed, said.Balance.AvailableCredits)
	events := pb.NewNotificationServiceClient(conn)
	request := &pb.WatchEventsRequest{CustomerId: customer, Start: &pb.WatchEventsRequest_AfterPosition{}, UntilNow: true}
	stream, what := must(events.WatchEvents(ctx, request)), "watched:"
	for message, err := stream.Recv(); err != io.EOF; message, err = stream.Recv() {
		if event := must(message, err).GetEvent(); event != nil && what == "watched:" {
			fmt.Println(what, event.Type) // or the connection breaks: what came last says where to go on
			request.Start, what = &pb.WatchEventsRequest_ResumeToken{ResumeToken: message.ResumeToken}, "resumed:"
			stream = must(events.WatchEvents(ctx, request))
			fmt.Print(what)
		} else if event != nil {
			fmt.Print(" ", event.Type)
		}
	}
	fmt.Println()
}
