"""Client machinery: transports, informers, work queues, the controller runtime."""
