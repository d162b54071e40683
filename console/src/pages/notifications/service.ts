import { client } from "../../api/clients";
import { DeliveryConfigService } from "../../gen/shared/idl/platform/v1/notification_pb";

export const configs = client(DeliveryConfigService);
