# Volumes for claims without a class: folders of the state, of the number under which images run.

volumes_up() {
    local number folder
    for number in 1 2 3 4; do
        folder=$state/volumes/$number
        mkdir -p "$folder"
        # The kubelet does not give a folder of the host to the pod's group.
        chown 65532:65532 "$folder"
        cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: volume-$number
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $folder, type: Directory}
YAML
    done >"$state/config/volumes.yaml"
    install_manifests "$state/config/volumes.yaml"
}
