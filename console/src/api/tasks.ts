import { TaskService } from "../gen/flyteidl2/task/task_service_pb";
import { client } from "./clients";

export const tasks = client(TaskService);
