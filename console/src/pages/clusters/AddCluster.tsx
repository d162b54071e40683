import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/clients";
import { ClusterService } from "../../gen/shared/idl/platform/v1/cluster_pb";
import { EnrolmentService } from "../../gen/shared/idl/platform/v1/enrolment_pb";
import { msOf } from "../../model/time";
import { Ago, Command, Dialog, To } from "../../parts/basics";
import { Failure } from "../../parts/Confirm";
import { TextField } from "../../parts/inputs";

const enrolments = client(EnrolmentService);
const clusters = client(ClusterService);

/** Makes a cluster with its join token, shows how to install the agent, and waits until it is there. */
export function AddCluster({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [pool, setPool] = useState("");
  const [requestId] = useState(() => crypto.randomUUID());
  const make = useMutation({
    mutationFn: () => enrolments.createCluster({ requestId, name, pool, autoAccept: true }),
  });
  return (
    <Dialog title="Add a cluster" className="wide" onClose={onClose}>
      {make.data === undefined ? (
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            make.mutate();
          }}
        >
          <TextField
            label="Name"
            hint="Small letters, digits and dashes. It cannot change."
            required
            placeholder="gpu-1"
            value={name}
            set={setName}
          />
          <TextField
            label="Pool"
            hint="Queues send their work to a pool of clusters."
            placeholder="default"
            value={pool}
            set={setPool}
          />
          {make.isError && <Failure error={make.error} />}
          <p className="actions">
            <button type="submit" className="primary" disabled={make.isPending}>
              Make a join token
            </button>
          </p>
        </form>
      ) : (
        <Install
          name={name}
          token={make.data.joinToken}
          expires={msOf(make.data.enrolment?.expiresAt)}
        />
      )}
    </Dialog>
  );
}

/** How the agent is installed with a token that is shown once, and whether it has come. */
export function Install(props: { name: string; token: string; expires: number | undefined }) {
  const [way, setWay] = useState<"helm" | "terraform">("helm");
  const here = useQuery({
    queryKey: ["cluster", props.name],
    refetchInterval: 1000,
    queryFn: async ({ signal }) =>
      (await clusters.getCluster({ name: props.name }, { signal })).cluster ?? null,
  });
  const address = location.hostname;
  const commands = {
    helm: `kubectl create namespace volary
kubectl --namespace volary create secret generic volary-join-token \\
  --from-literal=token=${props.token}
helm install volary infra/helm/volary-agent --namespace volary \\
  --set controlPlane.address=${address} \\
  --set joinToken.existingSecret=volary-join-token`,
    terraform: `resource "kubernetes_namespace" "volary" {
  metadata { name = "volary" }
}

resource "kubernetes_secret" "join_token" {
  metadata {
    name      = "volary-join-token"
    namespace = "volary"
  }
  data = { token = "${props.token}" }
}

resource "helm_release" "agent" {
  name      = "volary"
  chart     = "infra/helm/volary-agent"
  namespace = "volary"
  set = [
    { name = "controlPlane.address", value = "${address}" },
    { name = "joinToken.existingSecret", value = "volary-join-token" },
  ]
}`,
  };
  const isHere = here.data?.connected === true;
  return (
    <div className="stack">
      <p>
        The token works once, until <Ago at={props.expires} />. It is shown only now.
      </p>
      <div className="segmented" role="radiogroup" aria-label="How to install">
        {(["helm", "terraform"] as const).map((each) => (
          <button
            key={each}
            type="button"
            role="radio"
            aria-checked={way === each}
            onClick={() => setWay(each)}
          >
            {each}
          </button>
        ))}
      </div>
      <Command>{commands[way]}</Command>
      <p className={isHere ? "note-box" : "warn-box"} role="status">
        {isHere ? (
          <>
            <strong>{props.name} is connected.</strong> Its agent is {here.data?.agent?.software}.{" "}
            <To to={`/v2/admin/clusters/${encodeURIComponent(props.name)}`}>Look at it</To>
          </>
        ) : (
          "Waiting for its agent. This changes by itself as soon as the agent connects."
        )}
      </p>
      {isHere && (
        <>
          <p>Its doctor says whether it may do all that tasks need, and reaches their storage:</p>
          <Command>
            kubectl --namespace volary exec deploy/volary-agent -- volary-agent doctor
          </Command>
        </>
      )}
    </div>
  );
}
